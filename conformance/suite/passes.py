"""Passes: batches that differ from the one before, so that whatever an earlier one left behind is met.

Each case takes one net through several passes: a batch, then others with other scores, answers, ignored answers, sizes,
weights and diffs, then the first again. The state after each is judged. Beside that, a batch gives after another one
what it gives alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.nets import layer, source
from conformance.losses.roles import Shape
from conformance.losses.values import exact
from conformance.suite.alone import after_another
from conformance.suite.judged import bundle
from conformance.suite.stock import DISTANCE
from conformance.suite.trunk import WEIGHT, Trunk, batch

__all__ = ["checks"]

FAMILY = "passes"

Served = tuple[Case, Sequence[str]]

_SIZES = (9, 2, 1)
"""The batches between the first and its return: larger, smaller, of one item."""

_ROWS: tuple[Shape, ...] = ((4, 5), (2, 7), (6, 3))
_IMAGES: tuple[Shape, ...] = ((2, 3, 2, 2), (1, 5, 3, 2), (3, 2, 1, 4))
"""Shapes of the scores, pass by pass: items, classes and positions all change."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        for name, cases in (("batches", _batches(loss)), ("options", _options(loss))):
            served = [(case, [f"{stem}.contract-passes", "net.passes"]) for case in cases]
            if served:
                yield bundle(f"{FAMILY}/{stem}/{name}", stem, served, layer_types=(loss.type,))
        yield after_another(f"{FAMILY}/{stem}/alone", loss, _pairs(loss))


def _batches(loss: Loss) -> Iterator[Case]:
    variant = loss.plain
    trunk = Trunk(FAMILY, variant)
    a, b, c = (batch(variant, seed) for seed in (5, 6, 7))
    again = trunk.then(a)
    yield _case(trunk, "values", a, [trunk.then(b), trunk.then(c), again])
    yield _case(trunk, "answers", a, [_partly(trunk, loss, b, first=False), _partly(trunk, loss, b, first=True)])
    yield _sizes(loss)
    yield _to_and_fro(loss)
    yield _shapes(loss)
    stale = _stale(variant)
    weights = [
        trunk.then(b, top_diff={"loss": -0.75}),
        trunk.then(c, top_diff={"loss": 0.0}, prefill_diff=stale),
        trunk.then(b),  # nobody restores the weight
        trunk.then(a, top_diff={"loss": WEIGHT}, prefill_diff=stale),
    ]
    yield _case(trunk, "weights", a, weights)
    backwards = [
        Pass(steps=("backward",), prefill_diff={"loss": -0.5}),
        trunk.then(b, steps=("forward",)),
        Pass(steps=("backward",), clear=False),
        trunk.then(c, steps=("forward", "forward", "backward", "backward")),
        again,
    ]
    if "paired" not in loss.traits:
        yield _case(trunk, "backward-alone", a, backwards)
    between = [trunk.then(b), trunk.then(c, steps=("forward",)), again]
    yield _case(trunk, "forward-alone", a, between, steps=("forward",))
    params = {name: (_mixing(width), np.zeros(width)) for name, width in _widths(variant).items()}
    added = [trunk.then(b, clear=False, params=params), trunk.then(c, clear=False), again]
    yield _case(trunk, "accumulating", a, added)
    learned = len(variant.learned)
    for i in range(learned if learned > 1 else 0):
        asks = tuple(name == variant.learned[i] for name in variant.shapes)
        asking = replace(trunk, asks=asks)
        yield _case(asking, f"propagate-{variant.learned[i]}", a, [trunk.then(b, prefill_diff=stale)])


def _case(trunk: Trunk, name: str, values: Mapping[str, Array], passes: Sequence[Pass], **fields: Any) -> Case:
    return trunk.case(name, values, passes=tuple(passes), each_pass=True, **fields)


def _partly(trunk: Trunk, loss: Loss, values: Mapping[str, Array], first: bool) -> Pass:
    """New values for the first bottom alone, or for all others; what is not given stays."""
    given = {name: array for name, array in values.items() if (name == loss.names[0]) == first}
    return trunk.then(given)


def _stale(variant: Variant) -> dict[str, float]:
    """What diffs hold before a pass: what is to be overwritten, and what may stay."""
    return {name: np.nan if name in variant.learned else 7.0 for name in variant.shapes}


def _widths(variant: Variant) -> dict[str, int]:
    return {name: variant.shapes[name][-1] for name in variant.learned}


def _mixing(width: int) -> Array:
    """Three quarters of an entry and a quarter of the next: what is a probability stays one."""
    return 0.75 * np.eye(width) + 0.25 * np.roll(np.eye(width), 1, axis=1)


def _sizes(loss: Loss) -> Case:
    """Larger, smaller, of one item, and back; of what may not outgrow its set-up, the declared batch is the largest."""
    variant = loss.plain
    declared = variant.batch(_SIZES[0]).shapes if "sized-once" in loss.traits else None
    trunk = Trunk(FAMILY, variant, declared)
    others = [trunk.then(batch(variant.batch(size), i)) for i, size in enumerate(_SIZES)]
    return _case(trunk, "sizes", batch(variant, 5), [*others, trunk.then(batch(variant, 5))])


def _to_and_fro(loss: Loss) -> Case:
    """A batch, a smaller one, and each size again with other values: what is kept for a size is met two passes on."""
    trunk, smaller = Trunk(FAMILY, loss.plain), loss.plain.batch(_SIZES[1])
    others = [trunk.then(batch(variant, 6 + i)) for i, variant in enumerate((smaller, loss.plain, smaller))]
    return _case(trunk, "to-and-fro", batch(loss.plain, 5), others)


def _shapes(loss: Loss) -> Case:
    """Items, classes and positions change together."""
    shapes = _IMAGES if loss.unit == "position" else _ROWS
    if loss.needs:  # a layer made for so many classes cannot take others
        shapes = tuple((items, shapes[0][1], *further) for items, _, *further in shapes)
    variants = [loss.sized(shape) for shape in shapes]
    largest = loss.sized(tuple(map(max, zip(*shapes, strict=True)))).shapes
    trunk = Trunk(FAMILY, variants[0], largest if "sized-once" in loss.traits else None, scaled=True)
    others = [trunk.then(batch(variant, 6)) for variant in (*variants[1:], variants[0])]
    return _case(trunk, "shapes", batch(variants[0], 5), others)


def _options(loss: Loss) -> Iterator[Case]:
    """A published variant for every setting of options, in either phase by turns; what is ignored changes from batch to
    batch."""
    by_options = {
        repr(sorted(variant.options.items())): variant for variant in reversed(loss.variants) if variant.options
    }
    for i, variant in enumerate(reversed(by_options.values())):
        trunk = Trunk(FAMILY, variant, scaled=True)
        values = batch(variant, 5)
        others = [trunk.then(batch(other, 6), prefill_diff=_stale(variant)) for other in _otherwise(variant)]
        phase = "TEST" if i % 2 else "TRAIN"
        yield _case(trunk, f"option-{variant.name}", values, others, phase=phase)
    if loss.two_tops:
        ignoring = [variant for variant in loss.variants if variant.ignored][:1]
        for name, variant in zip(("two-tops", "two-tops-ignoring"), (loss.plain, *ignoring), strict=False):
            yield _two_tops(name, replace(variant, tops=("loss", "prob")))


def _otherwise(variant: Variant) -> list[Variant]:
    """Where some answers are ignored: all others are, then every one."""
    if not variant.ignored:
        return [variant]
    size = int(np.prod(variant.shapes[variant.loss.answer.name]))
    return [replace(variant, ignored=ignored) for ignored in (tuple(range(1, size - 1)), tuple(range(size)))]


def _two_tops(name: str, two: Variant) -> Case:
    """Another loss reads the second top, batch after batch, be what it reads of labels that are ignored or not."""
    trunk = Trunk(FAMILY, two, scaled=True)
    shape = two.shapes[two.first]
    reader = source("target", shape) + layer("reader", DISTANCE.type, ["prob", "target"], weights=(1.5,))
    target = exact(np.linspace(0, 1, int(np.prod(shape))).round(3)).reshape(shape)
    a, b, c = ({**trunk.inputs(batch(two, seed)), "target": np.roll(target, seed)} for seed in (5, 6, 7))
    passes = (Pass(b), Pass(c), Pass(a))
    return trunk.case(name, beside=reader, inputs=a, passes=passes, each_pass=True)


def _pairs(loss: Loss) -> list[Case]:
    """A batch after another one, as large and smaller."""
    trunk = Trunk(FAMILY, loss.plain)
    pairs = {"as-large": loss.plain, "smaller": loss.plain.batch(_SIZES[1])}
    return [
        trunk.case(f"{name}-after-another", passes=(trunk.then(batch(variant, 6)),)) for name, variant in pairs.items()
    ]
