"""What can be wrong in SoftmaxWithLoss with a weight for every label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.logits import weighing
from conformance.mutants.normalising import IGNORING
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layers.position_weighted_softmax_with_loss import PositionWeightedSoftmaxWithLoss as Right

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"
Flags = NDArray[np.bool_]


class _Rewritten(Right):
    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Blobs) -> Any:
        return each if self.weights is None else each * self.weights[1]


def _factors(change: Callable[[Any, Any], Any], forward: bool = True, backward: bool = True) -> Alter:
    """Other factors of a position, of its own weight and its label's class's, in one pass or both."""

    def weigh(each: Any, layer: Any, labels: NDArray[np.int64]) -> Any:
        return each if layer.weights is None else each * change(layer.weights[0], layer.class_weights[labels])

    return weighing(weigh, forward, backward)


def _divisor(change: Callable[[Any, Any, Flags], Any], forward: bool = True, backward: bool = True) -> Alter:
    """Another normaliser under VALID, of the weights, their products and what counts, in one pass or both."""

    class Wrong(Right):
        def divisor(self, counted: Flags) -> Any:
            if self.weights is None or self.normalisation.mode != "VALID":
                return super().divisor(counted)
            if not (backward if self.in_backward else forward):
                return super().divisor(counted)
            return change(*self.weights, counted)

    return instead(Wrong)


def _weighty(m: Any, c: Any, counted: Flags) -> Any:
    return max(1.0, float((counted & (m != 0)).sum()))


class _ClassesAlone(Right):
    """class_weight holds without a third bottom as well."""

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Blobs) -> Any:
        return super().weighed(each, labels, bottom) if len(bottom) > 2 else each * self.class_weights[labels]


class _Lengthless(Right):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.normalised = False


class _L1Length(Right):
    """The length is the sum of sizes."""

    def _unit(self, x: Any) -> Any:
        return x / np.abs(x).sum(axis=self.axis, keepdims=True)


class _AnyCount(Right):
    """Weights in any number: repeated, or cut off."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(self._fitted(bottom), top)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(self._fitted(bottom), top)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, self._fitted(bottom))

    def _fitted(self, bottom: Blobs) -> list[Any]:
        if len(bottom) == 2:
            return list(bottom)
        copy = self.context.blob(*bottom[1].shape)
        copy.data[...] = np.resize(bottom[2].data, bottom[1].shape)
        return [*bottom[:2], copy]


def _of_class(x: Any, at: At) -> Any:
    """The gradient of each class times its own weight, and not the label's."""
    if at.layer.weights is None:
        return x
    weights, labels = at.layer.class_weights, at.layer.read_labels(at.bottom)[0]
    each = weights.reshape([-1 if axis == at.layer.axis else 1 for axis in range(x.ndim)])
    return x * each / at.layer.along_classes(weights[labels])


MUTANTS = mutants_of(
    "position_weighted_softmax_with_loss",
    Right,
    (
        *COMMON,
        *IGNORING,
        control(instead(_Rewritten)),
        Slip(
            "weights-in-the-loss-alone",
            "The third bottom is no factor of the gradient.",
            "layers whose backward was left as it was when weights came",
            Cause.UNNAMEABLE,
            _factors(lambda m, c: c, forward=False),
        ),
        Slip(
            "weights-in-the-gradient-alone",
            "The third bottom is no factor of the loss.",
            "layers whose displayed loss is to stay comparable",
            Cause.UNNAMEABLE,
            _factors(lambda m, c: c, backward=False),
        ),
        Slip(
            "classes-not-weighted",
            "class_weight has no effect.",
            "a layer built against a proto whose tags mean something else",
            Cause.OPTION_IGNORED,
            _factors(lambda m, c: m),
        ),
        Slip(
            "classes-in-the-loss-alone",
            "class_weight is no factor of the gradient.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _factors(lambda m, c: m, forward=False),
        ),
        Slip(
            "classes-without-a-third-bottom",
            "class_weight holds without a third bottom as well.",
            "what the option's name promises",
            Cause.OPTION_IGNORED,
            instead(_ClassesAlone),
        ),
        Slip(
            "weights-added",
            "The two weights are added, and not multiplied.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _factors(lambda m, c: m + c - 1),
        ),
        Slip(
            "weight-of-size-alone",
            "A negative weight counts as a positive one.",
            CLASSIC,
            Cause.SIGN,
            _factors(lambda m, c: np.abs(m) * c),
        ),
        Slip(
            "weight-of-each-class",
            "The gradient of each class is multiplied by that class's own weight.",
            "weights along the class axis, broadcast over the gradient",
            Cause.UNNAMEABLE,
            gradient(_of_class),
        ),
        Slip(
            "counted-by-number",
            "VALID divides by the number of positions, whatever they weigh.",
            "Caffe's own normaliser, beside weights that it does not know",
            Cause.VALID_RATIO,
            _divisor(lambda m, c, counted: max(1.0, float(counted.sum()))),
        ),
        Slip(
            "counted-by-weighty",
            "VALID divides by the number of positions that weigh anything.",
            "weights taken for a mask",
            Cause.VALID_RATIO,
            _divisor(_weighty),
        ),
        Slip(
            "loss-without-classes-in-the-divisor",
            "The loss is divided by the sum of the third bottom, as the gradient is.",
            "the two normalisers of the fork, made one",
            Cause.VALID_RATIO,
            _divisor(lambda m, product, counted: max(1.0, float(m[counted].sum())), backward=False),
        ),
        Slip(
            "gradient-with-classes-in-the-divisor",
            "The gradient is divided by what the loss is divided by.",
            "the two normalisers of the fork, made one",
            Cause.NONE,
            _divisor(lambda m, product, counted: np.maximum(1.0, product[counted].sum()), forward=False),
            equivalent="the ledger of departures names this region: the derivative is right as well",
        ),
        Slip(
            "divisor-below-one",
            "VALID divides by the sum of the weights, be it less than 1.",
            CLASSIC,
            Cause.VALID_RATIO,
            _divisor(lambda m, product, counted: float(product[counted].sum()) or 1.0),
        ),
        Slip(
            "ignored-weigh-in-the-divisor",
            "Ignored positions count in the sum of the weights.",
            CLASSIC,
            Cause.IGNORED_LABEL,
            _divisor(lambda m, product, counted: max(1.0, float(product.sum()))),
        ),
        Slip(
            "weights-truncated",
            "Weights are cut off to integers.",
            "a third bottom read as labels are",
            Cause.TRUNCATION,
            reading(lambda m, at: np.trunc(m), 2),
        ),
        Slip(
            "length-not-read",
            "normalize_type has no effect: p is the softmax.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            instead(_Lengthless),
        ),
        Slip(
            "length-of-sizes",
            "The length is the sum of the scores' sizes.",
            "what the option's value L1 promises",
            Cause.UNNAMEABLE,
            instead(_L1Length),
        ),
        Slip(
            "any-number-of-weights",
            "Weights in any number are accepted.",
            "layers that never count their third bottom",
            Cause.ACCEPTS,
            instead(_AnyCount),
        ),
    ),
)
