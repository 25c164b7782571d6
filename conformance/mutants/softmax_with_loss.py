"""What can be wrong in SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.logits import LOGITS, SECOND_TOP
from conformance.mutants.normalising import CONTROL, IGNORING, NORMALIZE, normalising, with_default
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layer import pick_label
from refimpl.layers.softmax_with_loss import FLOOR, SoftmaxWithLoss

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _label_probability(at: At) -> tuple[Any, Any]:
    """Of every position, from the softmax that forward kept; and what counts."""
    labels, counted = at.layer.read_labels(at.bottom)
    chosen = np.take_along_axis(at.layer.probability.wide, at.layer.along_classes(labels), at.layer.axis)
    return np.squeeze(chosen, at.layer.axis), counted


def _sum_of(logarithm: Callable[[Any], Any]) -> Alter:
    """The loss with another logarithm."""

    def change(_: Any, at: At) -> Any:
        p, counted = _label_probability(at)
        return -np.where(counted, logarithm(p), 0).sum() / at.normaliser

    return loss(change)


def _where_capped(change: Callable[[Any], Any]) -> Alter:
    """The gradient changed where the label's probability is below the floor."""

    def altered(x: Any, at: At) -> Any:
        p, counted = _label_probability(at)
        return np.where(at.layer.along_classes((p < FLOOR) & counted), change(x), x)

    return gradient(altered)


def _focal(x: Any, at: At) -> Any:
    p, _ = _label_probability(at)
    return x * at.layer.along_classes(1 - p)


def _smoothed(x: Any, at: At) -> Any:
    labels, counted = at.layer.read_labels(at.bottom)
    classes = at.bottom[0].shape[at.layer.axis]
    hot = pick_label(labels, classes, at.layer.axis)
    moved = 0.1 * (hot - 1 / classes) * at.top[0].wide_diff / at.normaliser
    return x + np.where(at.layer.along_classes(counted), moved, 0)


def _sequential(_: Any, at: At) -> Any:
    p, counted = _label_probability(at)
    terms = np.where(counted, -np.log(np.maximum(p, FLOOR)), 0).astype(at.top[0].data.dtype)
    return np.cumsum(terms.ravel(), dtype=terms.dtype)[-1] / terms.dtype.type(at.normaliser)


class _OuterIsFirstAxis(SoftmaxWithLoss):
    """BATCH_SIZE is shape[0], whatever the axis."""

    def divisor(self, counted: Any) -> float:
        return self.normalisation.divisor(self.positions[0] if self.positions else 1, counted)


class _SecondTopIgnored(SoftmaxWithLoss):
    def second_top_asks(self, top: Blobs) -> bool:
        return False


class _TwoWeightsRefused(SoftmaxWithLoss):
    """Refuses two weights as Caffe does, and accepts two tops without: neither dialect."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        given = len(self.param.loss_weight)
        super().setup(bottom, top)
        if given == 2 and self.param.loss_weight[1] != 0:
            raise IndexError("a weight for a top that the inner softmax does not have")


class _RepeatedBackward(SoftmaxWithLoss):
    """Turns the kept softmax into the gradient in place, so that a second backward starts from that."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            self.probability.data[...] = bottom[0].diff


MUTANTS = mutants_of(
    "softmax_with_loss",
    SoftmaxWithLoss,
    (
        *COMMON,
        control(_sum_of(lambda p: np.log(np.maximum(p, FLOOR)))),
        CONTROL,
        *normalising("VALID"),
        *NORMALIZE,
        *IGNORING,
        *LOGITS,
        *SECOND_TOP,
        Slip(
            "default-full",
            "Without a normalization the divisor is FULL's.",
            CLASSIC,
            Cause.NORMALISATION_MODE,
            with_default("FULL"),
        ),
        Slip(
            "default-batch-size",
            "Without a normalization the divisor is the batch size.",
            "layers copied from the time when the proto's normalize defaulted to true, and built against a later proto",
            Cause.NORMALISATION_MODE,
            with_default("BATCH_SIZE"),
        ),
        Slip(
            "outer-is-first-axis",
            "BATCH_SIZE is the first dimension, not the product of those before the axis.",
            CLASSIC,
            Cause.NORMALISATION_MODE,
            instead(_OuterIsFirstAxis),
        ),
        Slip(
            "floor-missing",
            "The logarithm has no floor: a probability of 0 costs infinitely much.",
            CLASSIC,
            Cause.LOG_FLOOR,
            _sum_of(np.log),
        ),
        Slip(
            "floor-of-infogain",
            "The logarithm's floor is 1e-20, as in InfogainLoss.",
            "the two floors of Caffe's losses mixed up",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-20))),
            dialect="bvlc",
        ),
        Slip(
            "floor-of-double",
            "In float64 the floor is DBL_MIN.",
            "a floor written as the minimum of the type where Caffe has FLT_MIN",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 2.0**-1022))),
        ),
        Slip(
            "floor-of-keras",
            "Probabilities are clipped at 1e-7.",
            "the epsilon of another framework's backend",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-7))),
        ),
        Slip(
            "epsilon-added",
            "1e-7 is added to the probability before the logarithm.",
            CLASSIC,
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p + 1e-7, FLOOR))),
        ),
        Slip(
            "nan-as-floor",
            "A NaN probability costs as much as the floor: 87.3.",
            "Caffe on a GPU, whose maximum of NaN and FLT_MIN is FLT_MIN",
            Cause.SPECIAL_VALUES,
            _sum_of(lambda p: np.log(np.fmax(p, FLOOR))),
        ),
        Slip(
            "capped-gradient-zeroed",
            "The gradient of a position is 0 where its label's probability is below the floor.",
            "the derivative of the loss that Caffe reports there",
            Cause.NONE,
            _where_capped(np.zeros_like),
            equivalent="the ledger of departures names this region: the derivative, 0, is right as well",
        ),
        Slip(
            "capped-gradient-halved",
            "The gradient of a position is halved where its label's probability is below the floor.",
            "a clamp whose gradient is neither of the two",
            Cause.LOG_FLOOR,
            _where_capped(lambda x: x / 2),
        ),
        Slip(
            "gradient-focal",
            "The gradient is scaled by 1 - p of the label.",
            "a focal loss whose forward lacks its factor",
            Cause.UNNAMEABLE,
            gradient(_focal),
        ),
        Slip(
            "gradient-smoothed",
            "The gradient is that of smoothed labels, the loss is not.",
            "label smoothing of two forks, in backward alone",
            Cause.UNNAMEABLE,
            gradient(_smoothed),
        ),
        Slip(
            "summed-in-order",
            "The positions' losses are added up one by one in the net's type.",
            "BVLC Caffe's loop on the CPU, 5 % off at 2^22 equal terms in float32",
            Cause.NONE,
            loss(_sequential),
            equivalent="any order of addition is within the bound; accuracy over millions of entries is a `should`",
        ),
        Slip(
            "second-top-ignored",
            "A second top sends nothing down, whatever its weight.",
            "Caffe's InfogainLoss, in a layer that Caffe cannot build",
            Cause.SECOND_TOP,
            instead(_SecondTopIgnored),
        ),
        Slip(
            "second-weight-refused",
            "Two tops are accepted unless the second has a weight.",
            "the copy of LayerParameter that Caffe gives its inner softmax, half repaired",
            Cause.REFUSES,
            instead(_TwoWeightsRefused),
        ),
        Slip(
            "softmax-overwritten",
            "Backward turns the kept softmax into the gradient, in place: a second backward starts from that.",
            "buffers shared to save memory",
            Cause.STALE_BUFFER,
            instead(_RepeatedBackward),
        ),
    ),
)
