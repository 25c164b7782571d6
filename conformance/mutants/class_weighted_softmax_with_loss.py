"""What can be wrong in SoftmaxWithLoss with a weight for each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.logits import weighing
from conformance.mutants.normalising import IGNORING, normalising
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.class_weighted_softmax_with_loss import ClassWeightedSoftmaxWithLoss as Right

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"
Flags = NDArray[np.bool_]


class _Rewritten(Right):
    """The weights picked by a sum over classes."""

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Blobs) -> Any:
        if self.class_weights is None:
            return each
        return each * sum(weight * (labels == k) for k, weight in enumerate(self.class_weights))


def _weights(change: Callable[[Any], Any]) -> Alter:
    """Other weights, where there are any."""

    class Wrong(Right):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            if self.class_weights is not None:
                self.class_weights = change(self.class_weights)

    return instead(Wrong)


def _in_one(forward: bool) -> Alter:
    """The weights in one of the passes alone."""
    return weighing(lambda each, layer, labels: each, forward=not forward, backward=forward)


class _BySumOfWeights(Right):
    def read_labels(self, bottom: Blobs) -> tuple[NDArray[np.int64], Flags]:
        self.labels, counted = super().read_labels(bottom)
        return self.labels, counted

    def divisor(self, counted: Flags) -> float:
        if self.class_weights is None or self.normalisation.mode != "VALID":
            return super().divisor(counted)
        return float(self.class_weights[self.labels][counted].sum()) or 1.0


class _ByCountOfWeighty(_BySumOfWeights):
    """VALID leaves out what weighs nothing."""

    def divisor(self, counted: Flags) -> float:
        if self.class_weights is not None:
            counted = counted & (self.class_weights[self.labels] != 0)
        return Right.divisor(self, counted)


class _AlwaysWeighted(Right):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.class_weights = np.array(self.own["loss_param"].class_weighting or [1.0] * bottom[0].channels)


class _NeverWeighted(Right):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.class_weights = None


class _AnyNumber(Right):
    """Weights that lack are 1, and too many are cut off."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        param = self.own["loss_param"]
        given, classes = param.class_weighting, bottom[0].channels
        fitting = (*given, *[1.0] * classes)[:classes]
        self.own["loss_param"] = type(param)(
            **{name: getattr(param, name) for name in param.present}, class_weighting=fitting
        )
        super().setup(bottom, top)


def _own_weight(x: Any, at: At) -> Any:
    """The gradient of each class times its own weight, and not the label's."""
    weights = at.layer.class_weights
    if weights is None:
        return x
    labels, _ = at.layer.read_labels(at.bottom)
    each = weights.reshape([-1 if axis == at.layer.axis else 1 for axis in range(x.ndim)])
    of_label = at.layer.along_classes(weights[labels])
    return np.where(of_label != 0, x * each / np.where(of_label != 0, of_label, 1), 0)


def _inside(x: Any, at: At) -> Any:
    """-log(c p) where -c log p is meant."""
    weights = at.layer.class_weights
    if weights is None:
        return x
    labels, counted = at.layer.read_labels(at.bottom)
    p = np.squeeze(
        np.take_along_axis(at.layer.probability.wide, at.layer.along_classes(labels), at.layer.axis), at.layer.axis
    )
    return -np.where(counted, np.log(np.maximum(weights[labels] * p, 2.0**-126)), 0).sum() / at.normaliser


MUTANTS = mutants_of(
    "class_weighted_softmax_with_loss",
    Right,
    (
        *COMMON,
        control(instead(_Rewritten)),
        *normalising("VALID"),
        *IGNORING,
        Slip(
            "weights-in-the-loss-alone",
            "The class weights are no factor of the gradient.",
            "layers whose backward was left as it was when weights came",
            Cause.UNNAMEABLE,
            _in_one(forward=True),
        ),
        Slip(
            "weights-in-the-gradient-alone",
            "The class weights are no factor of the loss.",
            "layers whose displayed loss is to stay comparable",
            Cause.UNNAMEABLE,
            _in_one(forward=False),
        ),
        Slip(
            "divided-by-the-weights",
            "VALID divides by the sum of the weights of the counted labels.",
            "PyTorch's rule, and that of a fork, where SegNet divides by the count",
            Cause.VALID_RATIO,
            instead(_BySumOfWeights),
        ),
        Slip(
            "weightless-not-counted",
            "VALID does not count labels whose class weighs nothing.",
            "a weight of 0 taken for an ignored label",
            Cause.VALID_RATIO,
            instead(_ByCountOfWeighty),
        ),
        Slip(
            "weight-of-each-class",
            "The gradient of each class is multiplied by that class's own weight.",
            "weights along the class axis, broadcast over the gradient",
            Cause.UNNAMEABLE,
            gradient(_own_weight),
        ),
        Slip(
            "weight-inside-the-logarithm",
            "The probability is weighted, and not its logarithm.",
            CLASSIC,
            Cause.UNNAMEABLE,
            loss(_inside),
        ),
        Slip(
            "weights-not-read",
            "class_weighting has no effect.",
            "a layer built against a proto whose tags mean something else",
            Cause.OPTION_IGNORED,
            instead(_NeverWeighted),
        ),
        Slip(
            "always-weighted",
            "class_weighting holds without weight_by_label_freqs as well.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            instead(_AlwaysWeighted),
        ),
        Slip(
            "weight-of-the-next-class",
            "A label counts with the weight of the class after it.",
            "classes counted from 1, after a background that has no weight",
            Cause.LABEL_OFF_BY_ONE,
            _weights(lambda weights: np.roll(weights, -1)),
        ),
        Slip(
            "weights-of-mean-1",
            "The weights are divided by their mean.",
            "class balancing that keeps the size of the loss",
            Cause.COMMON_FACTOR,
            _weights(lambda weights: weights / weights.mean()),
        ),
        Slip(
            "weights-squared",
            "The weights count twice.",
            "a weight that the softmax and the sum both apply",
            Cause.UNNAMEABLE,
            _weights(lambda weights: weights * weights),
        ),
        Slip(
            "negative-weights-cut",
            "A negative weight is taken for 0.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _weights(lambda weights: np.maximum(weights, 0)),
        ),
        Slip(
            "any-number-of-weights",
            "Other than one weight for each channel is accepted.",
            "layers that look up a weight and never count them",
            Cause.ACCEPTS,
            instead(_AnyNumber),
        ),
    ),
)
