"""What can be wrong in WeightedSoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.logits import weighing
from conformance.mutants.normalising import IGNORING, normalising
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.weighted_softmax_with_loss import WeightedSoftmaxWithLoss as Right

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _factor(change: Callable[[Any, NDArray[np.int64]], Any], forward: bool = True, backward: bool = True) -> Alter:
    """Another factor of each position, of the parameters and the labels, in one pass or both."""
    return weighing(lambda each, layer, labels: each * change(layer.own["softmax_param"], labels), forward, backward)


def _right(param: Any, labels: Any) -> Any:
    return np.where(labels == param.pos_cid, param.pos_mult, 1.0)


def _flat(x: Any, at: At) -> Any:
    """The factor lies on the class pos_cid and not on the positions labelled with it."""
    param, axis = at.layer.own["softmax_param"], at.layer.axis
    labels, _ = at.layer.read_labels(at.bottom)
    factor = at.layer.along_classes(_right(param, labels))
    classes = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.where(factor != 0, x / np.where(factor != 0, factor, 1) * _right(param, classes), 0)


class _BySum(Right):
    """VALID divides by the sum of the factors."""

    def read_labels(self, bottom: Blobs) -> Any:
        self.labels, counted = super().read_labels(bottom)
        return self.labels, counted

    def divisor(self, counted: Any) -> float:
        if self.normalisation.mode != "VALID":
            return super().divisor(counted)
        return float(_right(self.own["softmax_param"], self.labels)[counted].sum()) or 1.0


class _ScalesNeighbours(Right):
    """A position's factor is applied to all classes of the positions after it, as far as one position's classes times
    positions reach."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        param, (labels, counted) = self.own["softmax_param"], self.read_labels(bottom)
        if propagate_down[0]:
            flagged = self.along_classes(np.where(counted & (labels == param.pos_cid), param.pos_mult, 1.0))
            bottom[0].diff[...] *= np.roll(np.broadcast_to(flagged, bottom[0].shape), 1, axis=-1)


MUTANTS = mutants_of(
    "weighted_softmax_with_loss",
    Right,
    (
        *COMMON,
        control(_factor(_right)),
        *normalising("VALID"),
        *IGNORING,
        Slip(
            "factor-in-the-loss-alone",
            "pos_mult is no factor of the gradient.",
            "layers whose backward was left as it was when weights came",
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: np.ones(labels.shape), forward=False),
        ),
        Slip(
            "factor-in-the-gradient-alone",
            "pos_mult is no factor of the loss.",
            "layers whose displayed loss is to stay comparable",
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: np.ones(labels.shape), backward=False),
        ),
        Slip(
            "factor-of-the-others",
            "pos_mult multiplies the positions with other labels.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: np.where(labels != param.pos_cid, param.pos_mult, 1.0)),
        ),
        Slip(
            "factor-of-all",
            "pos_mult multiplies every position.",
            "a factor for the whole loss",
            Cause.COMMON_FACTOR,
            _factor(lambda param, labels: np.full(labels.shape, param.pos_mult)),
        ),
        Slip(
            "factor-from-the-class-on",
            "pos_mult multiplies the positions with pos_cid or a label above it.",
            "a foreground that is everything but class 0",
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: np.where(labels >= param.pos_cid, param.pos_mult, 1.0)),
        ),
        Slip(
            "class-is-1",
            "pos_cid is 1, whatever is set.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            _factor(lambda param, labels: np.where(labels == 1, param.pos_mult, 1.0)),
        ),
        Slip(
            "factor-not-read",
            "pos_mult is 1, whatever is set.",
            "a layer built against a proto without the field",
            Cause.OPTION_IGNORED,
            _factor(lambda param, labels: np.ones(labels.shape)),
        ),
        Slip(
            "factor-squared",
            "pos_mult counts twice.",
            "a weight that two loops apply",
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: _right(param, labels) ** 2),
        ),
        Slip(
            "others-divided",
            "The positions with other labels are divided by pos_mult, and those with pos_cid left as they are.",
            "a ratio of two weights, normalised to the other one",
            Cause.COMMON_FACTOR,
            _factor(lambda param, labels: _right(param, labels) / (param.pos_mult or 1.0)),
        ),
        Slip(
            "negative-factor-cut",
            "A negative pos_mult is taken for 0.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _factor(lambda param, labels: np.maximum(_right(param, labels), 0)),
        ),
        Slip(
            "factor-on-the-class",
            "In the gradient pos_mult multiplies the class pos_cid of every position.",
            "weights along the class axis, broadcast over the gradient",
            Cause.UNNAMEABLE,
            gradient(_flat),
        ),
        Slip(
            "divided-by-the-factors",
            "VALID divides by the sum of the factors of the counted positions.",
            "PyTorch's rule for class weights",
            Cause.VALID_RATIO,
            instead(_BySum),
        ),
        Slip(
            "neighbours-scaled",
            "A factor scales the gradient of the position after it, too.",
            "the first of these layers, whose loop over classes runs over positions as well",
            Cause.UNNAMEABLE,
            instead(_ScalesNeighbours),
        ),
    ),
)
