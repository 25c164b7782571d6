"""Contract: what a layer owes its net, pass after pass, and the shapes it has to follow.

Every learned bottom comes from an InnerProduct with the identity as its weights: so gradients are owed without
force_backward, parameter gradients show what accumulates, and scores keep their exact values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.nets import layer, source
from conformance.losses.roles import Matrix, Shape
from conformance.suite.judged import bundle, single
from conformance.suite.stock import DISTANCE
from conformance.suite.trunk import WEIGHT, Trunk

__all__ = ["checks"]

FAMILY = "contract"
ROUND = ("forward", "backward")

Served = tuple[Case, Sequence[str]]


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        trunk = Trunk(FAMILY, loss.plain)
        yield bundle(f"{FAMILY}/{stem}/passes", stem, list(_passes(trunk)), layer_types=(loss.type,))
        cases = [*_batches(trunk), *_answer_shapes(loss.plain)]
        yield bundle(f"{FAMILY}/{stem}/shapes", stem, cases, layer_types=(loss.type,))
    if losses is LOSSES:
        yield _silence()


def _silence() -> Check:
    """A blob that only a Silence reads has the gradient 0, whatever its diff held."""
    net = "force_backward: true\n" + source("x", (2, 3)) + layer("silent", "Silence", ["x"], ())
    case = Case(f"{FAMILY}/net/silence", net, {"x": np.ones((2, 3))}, prefill_diff={"x": np.nan})
    served = ["layer.Silence", "net.bottom-diff-overwritten"]
    return single(case.id, "net", served, case, needs_net=True, layer_types=("Silence",))


def _passes(trunk: Trunk) -> Iterator[Served]:
    variant, stem = trunk.variant, trunk.variant.loss.stem
    stale = {name: np.nan if name in variant.learned else 7.0 for name in variant.shapes}
    overwrites = [f"{stem}.contract-overwrite", "net.bottom-diff-overwritten"]
    yield trunk.case("stale-diffs", prefill_diff=stale), [*overwrites, "net.unasked-diff"]
    fed = variant.case(f"{FAMILY}/{stem}/inputs", weights=(WEIGHT,), seed=5)
    shapes = [f"{stem}.top-shape", "net.top-shape", "net.structure"]
    yield fed, [f"{stem}.contract-inputs-unchanged", "net.inputs-unchanged", *shapes]
    yield trunk.case("forward-only", steps=("forward",)), [f"{stem}.forward", "net.unasked-diff"]
    again_forward = [f"{stem}.contract-repeat-forward", "net.repeated-passes", "net.inputs-unchanged"]
    again_backward = [f"{stem}.contract-repeat-backward", "net.repeated-passes", "net.parameter-gradient"]
    yield trunk.case("forward-twice", steps=("forward", *ROUND)), again_forward
    if "paired" not in variant.loss.traits:
        yield trunk.case("backward-twice", steps=(*ROUND, "backward")), again_backward
    yield trunk.case("two-rounds", steps=ROUND * 2), list(dict.fromkeys([*again_forward, *again_backward]))
    beside = trunk.case("beside-another-loss", beside=_another_loss(variant), prefill_diff=stale)
    yield beside, [*overwrites, "net.split"]
    silent = replace(trunk, asks=(False,) * len(variant.shapes))
    unasked = silent.case("unasked-beside-another-loss", beside=_another_loss(variant), prefill_diff=stale)
    yield unasked, ["net.propagate-down", "net.split"]
    for ignoring in variant.loss.variants:
        if ignoring.name == "ignore-first-last":
            filled = Trunk(FAMILY, ignoring).case("stale-diffs-ignored", prefill_diff=stale)
            yield filled, [*overwrites, f"{stem}.ignore-label"]
    columns = {name: np.asfortranarray(array) for name, array in variant.values(seed=5).items()}
    yield trunk.case("column-major", columns), [f"{stem}.forward", f"{stem}.backward"]
    yield from _propagating(trunk)


def _another_loss(variant: Variant) -> str:
    """A distance that pulls the first bottom toward 0: both gradients are owed to one blob."""
    zero = source("zero", variant.shapes[variant.first])
    return zero + layer("other", DISTANCE.type, [variant.first, "zero"], weights=(0.5,))


def _propagating(trunk: Trunk) -> Iterator[Served]:
    """Every choice among the learned bottoms, over diffs that hold something: what is not asked for stays or is 0."""
    stem, names = trunk.variant.loss.stem, list(trunk.variant.shapes)
    learned = len(trunk.variant.learned)
    for choice in range(2**learned):
        asks = tuple(bool(choice >> i & 1) for i in range(learned)) + (False,) * (len(names) - learned)
        word = "-".join(name for name, ask in zip(names, asks, strict=True) if ask) or "nothing"
        served = ["net.propagate-down", "net.unasked-diff", *([f"{stem}.propagate-down"] if any(asks) else [])]
        yield replace(trunk, asks=asks).case(f"propagate-{word}", prefill_diff=dict.fromkeys(names, 7.0)), served


def _batches(trunk: Trunk) -> Iterator[Served]:
    """Batches larger and smaller than declared, run twice; and a batch of a single score."""
    variant, stem = trunk.variant, trunk.variant.loss.stem
    served = [f"{stem}.contract-batch-change", "net.reshape"]
    batch = variant.items
    for name, size in (("grown", 2 * batch + 1), ("shrunk", batch - 2), ("shrunk-to-one", 1)):
        if name == "grown" and "sized-once" in variant.loss.traits:
            continue  # undefined in Caffe: a quirk has the case
        yield Trunk(FAMILY, variant.batch(size), variant.shapes).case(name, steps=ROUND * 2), served
    single, values = variant.loss.smallest(variant, seed=5)
    yield Trunk(FAMILY, single).case("one-score", values, steps=ROUND * 2), [f"{stem}.single-item"]


_PER_ITEM: tuple[Shape, ...] = ((), (1,), (1, 1), (1, 1, 1))
_PER_POSITION: tuple[Shape, ...] = ((), (1,), (1, 1, 1))
"""The axes after the first of answers that are one for each item."""

_FLAT = (4, 6)
_OF_ONE_COUNT: tuple[Shape, ...] = (_FLAT, (4, 6, 1, 1), (4, 2, 3), (4, 1, 3, 2))
"""Shapes of answers that are one for each entry of scores of the first."""

_IMAGE = (2, 4, 2, 3)
_SPATIAL: tuple[Shape, ...] = ((2, 2, 3), (2, 1, 2, 3), (2, 6), (2, 3, 2))
"""Shapes of labels for scores of that shape."""


def _answer_shapes(variant: Variant) -> Iterator[Served]:
    """The same answers in every shape that Caffe takes for them, and a matrix likewise."""
    loss = variant.loss
    if not loss.answer.role.by_item:
        return
    if loss.unit == "entry":
        flat = {bottom.name: bottom.role.shape(_FLAT, None) for bottom in loss.bottoms if bottom.name in variant.shapes}
        yield from (_reshaped(variant, loss.answer.name, {**flat, loss.answer.name: s}) for s in _OF_ONE_COUNT)
        return
    batch = (variant.items,)
    for further in _PER_POSITION if loss.unit == "position" else _PER_ITEM:
        yield _reshaped(variant, loss.answer.name, {loss.answer.name: (*batch, *further)})
    matrix = loss.bottom(Matrix)
    if loss.unit == "position":
        for shape in _SPATIAL:
            shapes = {bottom.name: bottom.role.shape(_IMAGE, 1) for bottom in loss.bottoms}
            shapes |= {loss.answer.name: shape}
            if matrix is not None:
                shapes[matrix.name] = (1, 1, _IMAGE[1], _IMAGE[1])
            yield _reshaped(variant, loss.answer.name, shapes)
    if matrix is not None:
        classes = variant.classes
        for shape in ((classes**2,), (classes, classes), (1, classes**2), (1, 1, classes, classes)):
            yield _reshaped(variant, matrix.name, {matrix.name: shape})


def _reshaped(variant: Variant, about: str, shapes: dict[str, Shape]) -> Served:
    """The variant with some bottoms in other shapes; labels are below the number of classes that there are."""
    varied = variant.reshaped(shapes)
    values = varied.values(seed=6)
    scores = values[variant.first]
    if variant.loss.labelled:
        values[variant.loss.answer.name] %= scores.shape[1]
    stem = variant.loss.stem
    case_id = f"{FAMILY}/{stem}/{about}-{'x'.join(map(str, shapes[about]))}{'-spatial' * (scores.ndim > 2)}"
    return varied.case(case_id, weights=(WEIGHT,), values=values), [f"{stem}.label-shapes"]
