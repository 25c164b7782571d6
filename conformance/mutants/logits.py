"""Slips that SoftmaxWithLoss and InfogainLoss invite: the softmax, its axis, the labels, the second top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, reading
from conformance.record.cause import Cause
from refimpl.layer import Layer
from refimpl.layers.softmax import softmax, softmax_gradient

__all__ = ["LOGITS", "SECOND_TOP", "weighing", "with_softmax"]

Softmax = Callable[[Any, int], Any]
Weigh = Callable[[Any, Any, NDArray[np.int64]], Any]
IMPOSSIBLE = -1e4
"""A score so low that its probability is 0 whatever the others are."""


def with_softmax(softmax: Softmax) -> Alter:
    """Loss and gradient of another softmax; the loss from its logarithm."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                super().forward(bottom, top)
                p = softmax(bottom[0].wide, self.axis)
                copy = self.context.blob(*p.shape)
                copy.data[...] = np.where(p == 0, IMPOSSIBLE, np.log(p))
                super().forward([copy, *bottom[1:]], top)
                for blob in (self.probability, *top[1:]):
                    blob.data[...] = p

        return Wrong

    return alter


def weighing(weigh: Weigh, forward: bool = True, backward: bool = True) -> Alter:
    """Positions weighed by ``weigh`` of what each has, the layer and the labels, in one pass or both."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            goes_back = False

            def forward(self, bottom: Blobs, top: Blobs) -> None:
                self.goes_back = False
                super().forward(bottom, top)

            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                self.goes_back = True
                super().backward(top, propagate_down, bottom)

            def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Blobs) -> Any:
                wrong = backward if self.goes_back else forward
                return weigh(each, self, labels) if wrong else super().weighed(each, labels, bottom)

        return Wrong

    return alter


def _without_maximum(x: Any, axis: int) -> Any:
    powers = np.exp(x)
    return powers / powers.sum(axis=axis, keepdims=True)


def _maximum_of_batch(x: Any, axis: int) -> Any:
    powers = np.exp(x - x.max())
    return powers / powers.sum(axis=axis, keepdims=True)


def _over_item(x: Any, axis: int) -> Any:
    """Over all classes and positions of an item."""
    powers = np.exp(x - x.max())
    return powers / powers.sum(axis=tuple(range(axis, x.ndim)), keepdims=True)


BLOCK = 64
"""Classes that a kernel works on at once."""


def _by_blocks(rescaled: Callable[[Any, Any], Any]) -> Softmax:
    """A softmax whose sum is made block by block; ``rescaled`` is the factor of what there is, from the maximum that
    it was made with and the new one."""

    def of_blocks(x: Any, axis: int) -> Any:
        rows = np.moveaxis(x, axis, 0)
        largest, total = np.full(rows.shape[1:], -np.inf), np.zeros(rows.shape[1:])
        with np.errstate(all="ignore"):
            for start in range(0, len(rows), BLOCK):
                block = rows[start : start + BLOCK]
                most = np.maximum(largest, block.max(axis=0))
                factor = rescaled(largest, most) if start else 0.0
                total, largest = total * factor + np.exp(block - most).sum(axis=0), most
            return np.moveaxis(np.exp(rows - largest) / total, 0, axis)

    return of_blocks


def _with_axis(axis: Callable[[int], int]) -> Alter:
    """Another axis than the prototxt names."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def softmax_axis(self) -> int:
                return axis(super().softmax_axis())

        return Wrong

    return alter


def _labels(change: Callable[[Any, int], Any]) -> Alter:
    """Labels read as others, the ignored one excepted; ``change`` gets them and the number of classes."""

    def read(y: Any, at: At) -> Any:
        ignored = at.layer.normalisation.ignored
        classes = at.bottom[0].shape[at.layer.axis]
        return np.where(np.trunc(y) == (np.nan if ignored is None else ignored), y, change(y, classes))

    return reading(read, 1)


def _transposed(layer: type[Layer]) -> type[Layer]:
    """Labels in (inner, outer) order."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def read_labels(self, bottom: Blobs) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
            labels, counted = super().read_labels(bottom)
            outer = max(1, int(np.prod(self.positions[: self.axis])))
            swapped = [a.reshape(-1, outer).T.reshape(self.positions) for a in (labels, counted)]
            return swapped[0], swapped[1]

    return Wrong


def _last_class_refused(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def read_labels(self, bottom: Blobs) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
            labels, counted = super().read_labels(bottom)
            if np.any(labels[counted] == bottom[0].shape[self.axis] - 1):
                raise IndexError("label out of range")
            return labels, counted

    return Wrong


def _held_within(most: float) -> Alter:
    """Scores further than ``most`` below the largest count as being that far below."""

    def held(x: Any, at: At) -> Any:
        return np.maximum(x, x.max(axis=at.layer.axis, keepdims=True) - most)

    return reading(held)


LOGITS = (
    control(with_softmax(softmax), "control-softmax"),
    control(_labels(lambda y, classes: y), "control-labels"),
    Slip(
        "saturated-beyond-ten",
        "Scores more than 10 below the largest count as 10 below it.",
        "a table of exponentials that ends there",
        Cause.UNNAMEABLE,
        _held_within(10.0),
    ),
    Slip(
        "maximum-not-subtracted",
        "The exponentials overflow for large scores.",
        "the textbook's softmax",
        Cause.OVERFLOW,
        with_softmax(_without_maximum),
    ),
    Slip(
        "maximum-of-batch",
        "The maximum of the whole batch is subtracted from every row: rows far below it come out as 0 / 0.",
        "a softmax whose maximum is taken over a wrong range",
        Cause.OVERFLOW,
        with_softmax(_maximum_of_batch),
    ),
    Slip(
        "first-block-masked",
        "Where the first 64 classes are all minus infinity, the row is NaN.",
        "an online softmax that subtracts a running maximum of minus infinity from itself",
        Cause.AT_SCALE,
        with_softmax(_by_blocks(lambda before, now: np.exp(before - now))),
        at_scale=True,
    ),
    Slip(
        "rescaling-overflows",
        "The sum of the blocks before is rescaled by a quotient of two exponentials, which overflow.",
        "a chunked softmax that rescales by exp(m) over exp(m')",
        Cause.AT_SCALE,
        with_softmax(_by_blocks(lambda before, now: np.exp(before) / np.exp(now))),
        at_scale=True,
    ),
    Slip(
        "softmax-over-item",
        "The softmax runs over all classes and positions of an item.",
        "a description that says C times H times W classes",
        Cause.AXIS,
        with_softmax(_over_item),
    ),
    Slip(
        "negative-axis-from-0",
        "A negative axis is counted from 0: -1 is axis 1.",
        "an axis that was not canonicalised",
        Cause.AXIS,
        _with_axis(abs),
    ),
    Slip(
        "axis-1",
        "The classes are on axis 1, whatever the prototxt says.",
        "a fork whose weighted softmax takes shape(1)",
        Cause.AXIS,
        _with_axis(lambda axis: 1),
    ),
    Slip(
        "labels-transposed",
        "Labels are read with the inner positions first.",
        "classic slip",
        Cause.TRANSPOSED,
        _transposed,
    ),
    Slip(
        "label-from-one",
        "Labels count from 1.",
        "data sets made for languages whose arrays start at 1",
        Cause.LABEL_OFF_BY_ONE,
        _labels(lambda y, classes: np.maximum(y - 1, 0)),
    ),
    Slip(
        "label-rounded",
        "Labels are rounded to the nearest class.",
        "a CTC layer that adds a half before it truncates",
        Cause.TRUNCATION,
        _labels(lambda y, classes: np.clip(np.rint(y), 0, classes - 1)),
    ),
    Slip(
        "label-floored",
        "Labels are rounded down, so that -0.5 is -1.",
        "a floor where C++ truncates toward zero",
        Cause.TRUNCATION,
        _labels(lambda y, classes: np.floor(y)),
    ),
    Slip(
        "last-class-refused",
        "The last class is refused as a label.",
        "a check of label < classes that is off by one",
        Cause.REFUSES,
        _last_class_refused,
    ),
)


def _second_counts_unasked(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            if not self.param.loss_weight and len(top) == 2:
                self.declared_weights = [1.0, 1.0]

    return Wrong


def _weights_swapped(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        declared_weights: list[float]

        def set_loss_weights(self, top: Blobs) -> None:
            self.declared_weights = self.declared_weights[::-1]
            super().set_loss_weights(top)

    return Wrong


def _second(change: Callable[[Any], Any]) -> Alter:
    """The second top's data changed."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                super().forward(bottom, top)
                for blob in top[1:]:
                    blob.data[...] = change(blob.wide)

        return Wrong

    return alter


def _second_gradient(change: Callable[[Any, Any, int], Any]) -> Alter:
    """What the second top sends down changed by a function of the softmax, the top's diff and the axis."""

    def altered(x: Any, at: At) -> Any:
        if len(at.top) == 1 or not np.any(at.top[1].wide_diff):
            return x
        return x + change(at.layer.probability.wide, at.top[1].wide_diff, at.layer.axis)

    return gradient(altered, 0)


SECOND_TOP = (
    Slip(
        "second-top-counts-unasked",
        "Without loss_weights a second top weighs 1 like the first.",
        "an implicit weight given to every top",
        Cause.IMPLICIT_WEIGHT,
        _second_counts_unasked,
    ),
    Slip(
        "second-top-leaks",
        "What the diff of a second top holds is added to the gradient as it is.",
        "a top's gradient passed on without the softmax between",
        Cause.SECOND_TOP,
        _second_gradient(lambda p, d, axis: d),
    ),
    Slip(
        "second-top-doubled",
        "A second top sends down twice its gradient.",
        "classic slip",
        Cause.SECOND_TOP,
        _second_gradient(softmax_gradient),
    ),
    Slip(
        "second-top-logarithm",
        "The second top holds the logarithm of the softmax.",
        "a softmax kept as its logarithm",
        Cause.SECOND_TOP,
        _second(np.log),
    ),
    Slip(
        "second-top-unwritten",
        "The second top stays 0.",
        "a top that forward forgets to write",
        Cause.SECOND_TOP,
        _second(np.zeros_like),
    ),
    Slip(
        "weights-swapped", "The weights of two tops are swapped.", "classic slip", Cause.WEIGHTS_ORDER, _weights_swapped
    ),
)
