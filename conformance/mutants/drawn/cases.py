"""Cases that settle whether a drawn mutant is wrong at all: wide, random, and made without a look at the suite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.contract.dtypes import FLOAT
from conformance.losses.loss import Loss
from conformance.losses.nets import layer
from conformance.losses.roles import Labels, Matrix, Probabilities, Similarity, Targets
from conformance.losses.variant import Variant

__all__ = ["settling_cases"]

_MOST = 80_000
"""Entries of the first bottom."""


def settling_cases(loss: Loss, seed: str, count: int) -> Iterator[Case]:
    """``count`` cases of one or two layers of a loss, of up to three passes."""
    random = Random(f"{seed}/{loss.stem}")
    for number in range(count):
        yield _case(random, loss, f"settling/{loss.stem}/{number}")


def _case(random: Random, loss: Loss, case_id: str) -> Case:
    shape = _shape(random, loss)
    options = _options(random, loss, len(shape))
    shapes = loss.shapes(shape, options)
    variant = Variant(loss, "drawn", shapes, options, loss.classes(shape, options))
    weight = random.choice(
        [(), (), (1.0,), (float(FLOAT.rounded(random.gauss(0, 3))),), (2.0 ** random.randint(-13, 11),)]
    )
    two = random.random() < 0.2
    fields: dict[str, Any] = {"phase": random.choice(["TRAIN", "TRAIN", "TEST"])}
    values = _values(random, variant)
    passes = []
    for _ in range(random.choice([0, 0, 1, 2])):
        items = shape[0] if random.random() < 0.5 else random.randint(1, _grown(loss, shape))
        now = variant.batch(items)
        again = _values(random, now)
        if random.random() < 0.3 and items == shape[0]:
            again[loss.answer.name] = values[loss.answer.name]
        fed = now.feed(again)
        passes.append(Pass(inputs=fed["inputs"], params=fed["params"] if items == shape[0] else {}))
    if not loss.forced:  # what is learnt is a Parameter layer, which has the batch of its set-up
        passes = [one for one in passes if all(a.shape[:1] == values[n].shape[:1] for n, a in one.inputs.items())]
    net = variant.sources() + variant.layer(weights=weight)
    if two:
        net += layer("second", loss.type, list(variant.shapes), ["second"], weight, _text(variant))
    fed = variant.feed(values)
    return Case(case_id, net, **fed, **fields, passes=tuple(passes), forms=variant.loss.forms)


def _text(variant: Variant) -> str:
    return variant.layer().partition('top: "loss"')[2].rpartition("}")[0].strip()


def _grown(loss: Loss, shape: tuple[int, ...]) -> int:
    return shape[0] if "sized-once" in loss.traits else shape[0] + 3


def _log_int(random: Random, high: int) -> int:
    return round(math.exp(random.uniform(0, math.log(high))))


def _shape(random: Random, loss: Loss) -> tuple[int, ...]:
    """Mostly small, now and then with many items, classes or entries."""
    high = random.choice([8, 8, 40, 300, 1500])
    axes = random.choice([2, 2, 2, 3, 4])
    shape = [_log_int(random, high) for _ in range(2)] + [_log_int(random, 12) for _ in range(axes - 2)]
    random.shuffle(shape)
    if "flat" in loss.traits:
        shape[2:] = [1] * len(shape[2:])
    while math.prod(shape) > _MOST:
        largest = shape.index(max(shape))
        shape[largest] = max(1, shape[largest] // 2)
    return tuple(shape)


def _options(random: Random, loss: Loss, axes: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, known in loss.options.items():
        values = [value for value in known if value is not None]
        if name == loss.axis_option:
            options[name] = random.randrange(1, axes)
        elif random.random() < 0.4:
            continue
        elif name.endswith("ignore_label"):
            options[name] = random.choice([0, 1, 2, 5, -1, -7, 255, 300, 1001])
        elif isinstance(values[0], float):
            options[name] = float(FLOAT.rounded(2.0 ** random.uniform(-4, 7)))
        else:
            options[name] = random.choice(values)
    return options


def _values(random: Random, variant: Variant) -> dict[str, Array]:
    rng = np.random.default_rng(random.getrandbits(64))
    loss, scale = variant.loss, 2.0 ** random.uniform(-10, 7)
    ignored = variant.options.get("loss_param.ignore_label")
    values: dict[str, Array] = {}
    for bottom in loss.bottoms:
        shape = variant.shapes[bottom.name]
        if isinstance(bottom.role, Labels):
            array = rng.integers(0, variant.classes, shape).astype(float)
            if random.random() < 0.3:
                array = np.sort(array, axis=None).reshape(shape)
            if random.random() < 0.1:
                array[...] = array.flat[0]
        elif isinstance(bottom.role, Similarity):
            array = rng.integers(0, 2, shape) * rng.choice([1.0, 1.0, 2.0, -1.0, 1.5], shape)
        elif isinstance(bottom.role, Probabilities):
            array = rng.uniform(0, 1, shape) ** random.choice([1, 1, 8])
        elif isinstance(bottom.role, Targets):
            array = rng.uniform(0, 1, shape) if random.random() < 0.6 else rng.integers(0, 2, shape).astype(float)
        elif isinstance(bottom.role, Matrix):
            array = rng.normal(0, 1, shape)
        elif bottom is not loss.bottoms[0] and random.random() < 0.6:
            array = values[loss.bottoms[0].name] + rng.normal(0, scale / 4, shape)
        else:
            array = rng.normal(0, scale, shape)
        if bottom is loss.answer and ignored is not None and random.random() < 0.8:
            array[rng.random(shape) < random.choice([0.2, 0.2, 0.7])] = ignored
        values[bottom.name] = np.asarray(FLOAT.rounded(array), dtype=np.float64)
    if random.random() < 0.1:
        first = values[loss.bottoms[0].name]
        first[...] = np.round(first * 64) / 64
    return values
