"""What is wrong only where things meet: a size and an option, an option's rarer values, a second top and an axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.dtypes import HALF
from conformance.losses import LOSSES, Loss
from conformance.losses.roles import Similarity
from conformance.mutants.mutant import Mutant
from conformance.mutants.slips import (
    At,
    Blobs,
    Slip,
    counting,
    dividing,
    gradient,
    loss,
    mutants_of,
    reading,
    weight,
)
from conformance.record.cause import Cause
from refimpl.layer import Layer
from refimpl.layers import REGISTRY

__all__ = ["MUTANTS"]

_SURVIVED = "a wrong implementation that an earlier suite let pass"
_Where = Callable[[At], bool]


def _only(where: _Where, change: Callable[[Any, At], Any]) -> Callable[[Any, At], Any]:
    """The change where something holds."""
    return lambda x, at: change(x, at) if where(at) else x


def _last_lost(x: Any, at: At) -> Any:
    x[-1] = 0
    return x


def _beyond(entries: int) -> Callable[[Any, At], Any]:
    def lost(x: Any, at: At) -> Any:
        rows = x.reshape(at.batch, -1)
        rows[:, entries:] = 0
        return x

    return lost


def _of_every_loss() -> Iterator[Slip]:
    yield Slip(
        "last-item-lost-of-whole-blocks",
        "The last item gets no gradient from {type} where the batch is a multiple of 64.",
        _SURVIVED,
        Cause.LAST_SAMPLE,
        gradient(_only(lambda at: at.batch % 64 == 0, _last_lost)),
        at_scale=True,
    )
    yield Slip(
        "medium-batches-off",
        "The loss of {type} is a percent too large for batches of 16 to 512.",
        _SURVIVED,
        Cause.COMMON_FACTOR,
        loss(_only(lambda at: 16 <= at.batch <= 512, lambda x, at: 1.01 * x)),
        at_scale=True,
    )
    yield Slip(
        "weight-held-above-minus-one",
        "A weight below -1 counts as -1 in {type}'s gradient.",
        _SURVIVED,
        Cause.WEIGHT_MISSING,
        weight(lambda held, at: np.maximum(held, -1.0)),
        at_scale=True,
    )


def _in_bits(bits: int) -> Callable[..., float]:
    def divide(own: Any, batch: int, counted: Any) -> float:
        if own.mode != "VALID" or own.ignored is None:
            return float(own.divisor(batch, counted))
        return float(max(1, int(np.count_nonzero(counted)) % 2**bits))

    return divide


def _without_sign(own: Any, labels: Any) -> Any:
    return own.counted(labels) if own.ignored is None else np.absolute(labels) != abs(own.ignored)


def _of_ignoring() -> Iterator[Slip]:
    for bits in (8, 16):
        yield Slip(
            f"count-in-{bits}-bits",
            f"{{type}} counts what is not ignored in {bits} bits, where an ignore_label is set.",
            _SURVIVED,
            Cause.NORMALISATION_MODE,
            dividing(_in_bits(bits)),
            at_scale=True,
        )
    yield Slip(
        "ignore-label-without-sign",
        "{type} compares labels with ignore_label by their absolute values.",
        _SURVIVED,
        Cause.IGNORED_LABEL,
        counting(_without_sign),
        at_scale=True,
    )
    yield Slip(
        "none-with-negative-weight",
        "{type} divides by the count for NONE where the weight is negative.",
        _SURVIVED,
        Cause.NORMALISATION_MODE,
        gradient(_only(_none_and_negative, lambda x, at: x / max(1, int(at.counted.sum())))),
        at_scale=True,
    )
    yield Slip(
        "normalised-in-training-only",
        "{type} divides by all positions in the phase TEST.",
        _SURVIVED,
        Cause.NORMALISATION_MODE,
        _not_in_test,
        at_scale=True,
    )


def _none_and_negative(at: At) -> bool:
    return at.layer.normalisation.mode == "NONE" and bool(np.all(np.asarray(at.top[0].diff) < 0))


def _not_in_test(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            if self.context.phase == "TEST":
                own: Any = self.normalisation
                self.normalisation: Any = replace(own, mode="FULL")

    return Wrong


def _of_labels(index: int) -> Iterator[Slip]:
    def held(kind: Any) -> Callable[[Any, At], Any]:
        return lambda x, at: np.trunc(x).astype(np.int64).astype(kind).astype(np.float64)

    yield Slip(
        "labels-in-half-precision",
        "{type} holds labels in half precision, which has no odd numbers beyond 2048.",
        _SURVIVED,
        Cause.UNNAMEABLE,
        reading(held(HALF.numpy), index),
        at_scale=True,
    )
    yield Slip(
        "labels-in-16-bits",
        "{type} holds labels in 16 bits with a sign.",
        _SURVIVED,
        Cause.UNNAMEABLE,
        reading(held(np.int16), index),
        at_scale=True,
    )


def _second_top(layer: type[Layer], change: Callable[[Any, Any, Blobs], Any]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            if len(top) > 1:
                top[1].data[...] = change(top[1].wide.copy(), self, bottom)

    return Wrong


def _along_axis_1(p: Any, layer: Any, bottom: Blobs) -> Any:
    return p if layer.axis == 1 else p / np.maximum(p.sum(axis=1, keepdims=True), 1e-30)


def _zeroed(p: Any, layer: Any, bottom: Blobs) -> Any:
    return np.where(layer.along_classes(layer.read_labels(bottom)[1]), p, 0.0)


def _of_two_tops() -> Iterator[Slip]:
    yield Slip(
        "second-top-along-axis-1",
        "The second top of {type} is normalised along axis 1, whatever axis the classes lie along.",
        _SURVIVED,
        Cause.UNNAMEABLE,
        lambda layer: _second_top(layer, _along_axis_1),
        at_scale=True,
    )
    yield Slip(
        "second-top-zeroed-where-ignored",
        "The second top of {type} is 0 at positions that are ignored.",
        _SURVIVED,
        Cause.UNNAMEABLE,
        lambda layer: _second_top(layer, _zeroed),
        at_scale=True,
    )


def _of_pairs() -> Iterator[Slip]:
    def unlike_lost(x: Any, at: At) -> Any:
        unlike = at.bottom[2].integers().ravel()[: at.batch] == 0
        rows = x.reshape(at.batch, -1)
        rows[unlike, 256:] = 0
        return x

    yield Slip(
        "unlike-pairs-end-at-256",
        "Dissimilar pairs get no gradient from {type} beyond channel 256.",
        _SURVIVED,
        Cause.AT_SCALE,
        gradient(unlike_lost),
        at_scale=True,
    )
    yield Slip(
        "margin-in-half-precision",
        "{type} holds its margin in half precision.",
        _SURVIVED,
        Cause.MARGIN,
        _half_margin,
        at_scale=True,
    )
    yield Slip(
        "similarity-in-8-bits",
        "{type} holds a similarity in 8 bits: 256 is 0, dissimilar.",
        _SURVIVED,
        Cause.UNNAMEABLE,
        reading(lambda x, at: np.trunc(x) % 256, 2),
        at_scale=True,
    )


def _half_margin(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            own: float = self.margin
            self.margin: float = float(HALF.rounded(own))

    return Wrong


def _of_squares() -> Iterator[Slip]:
    yield Slip(
        "squares-end-at-512",
        "{type} with norm L2 gives no gradient beyond the 512th entry of an item.",
        _SURVIVED,
        Cause.AT_SCALE,
        gradient(_only(lambda at: at.layer.squared, _beyond(512))),
        at_scale=True,
    )


def _slips(one: Loss) -> Iterator[Slip]:
    yield from _of_every_loss()
    if one.ignores:
        yield from _of_ignoring()
    if one.labelled and one.forced:
        yield from _of_labels(one.names.index(one.answer.name))
    if one.two_tops:
        yield from _of_two_tops()
    if one.bottom(Similarity):
        yield from _of_pairs()
    if "margin" in one.traits and one.labelled:
        yield from _of_squares()


def _two_factors(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def _gradient(self, i: int, top: Any, bottom: Blobs) -> Any:
            if self.operation == "PROD" and len(bottom) > 2:
                return bottom[1 - i if i < 2 else 0].wide * top.wide_diff
            return super()._gradient(i, top, bottom)

    return Wrong


def _first_diff_for_all(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            held = top[0].diff.copy()
            if top[0].count:
                top[0].diff[...] = held.reshape(-1)[0]
            super().backward(top, propagate_down, bottom)
            top[0].diff[...] = held

    return Wrong


def _eight_readers(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            super().backward(top[:8], propagate_down, bottom)

    return Wrong


_AROUND = (
    ("Eltwise", "two-factors", "The gradient of a product of three knows two of them.", _two_factors),
    ("Reduction", "first-diff-for-all", "Every row gets the first row's diff.", _first_diff_for_all),
    ("Split", "eight-readers", "The diffs of eight readers are added up, and of no more.", _eight_readers),
)

MUTANTS = (
    *(mutant for one in LOSSES.values() for mutant in mutants_of(one.stem, one.layer, _slips(one))),
    *(
        Mutant(f"around/{kind}-{name}", f"{kind}: {wrong}", _SURVIVED, Cause.UNNAMEABLE, {kind: alter(REGISTRY[kind])})
        for kind, name, wrong, alter in _AROUND
    ),
)
