"""What can be wrong in MultinomialLogisticLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layers.multinomial_logistic_loss import FLOOR, MultinomialLogisticLoss

__all__ = ["MUTANTS"]


def _chosen(at: At) -> Any:
    """The labels' entries, one per sample."""
    return at.bottom[0].wide.reshape(at.batch, -1)[np.arange(at.batch), at.bottom[1].integers().ravel()]


def _sum_of(logarithm: Callable[[Any], Any]) -> Alter:
    """The loss with another logarithm."""
    return loss(lambda x, at: -logarithm(_chosen(at)).sum() / at.batch)


def _where_low(change: Callable[[Any], Any]) -> Alter:
    """The gradient changed where an entry is below the floor."""
    return gradient(lambda x, at: np.where(at.bottom[0].wide < FLOOR, change(x), x))


def _softmax(x: Any, at: At) -> Any:
    powers = np.exp(x.reshape(at.batch, -1))
    return (powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape)


class _OthersLeft(MultinomialLogisticLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        held = bottom[0].diff.copy()
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] = np.where(bottom[0].diff == 0, held, bottom[0].diff)


class _UnflooredGradient(MultinomialLogisticLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            p = bottom[0].wide
            bottom[0].diff[...] = np.where(bottom[0].wide_diff != 0, bottom[0].wide_diff * np.maximum(p, FLOOR) / p, 0)


class _IgnoreLabel(MultinomialLogisticLoss):
    """Reads loss_param's ignore_label."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if self.param.loss_param.has("ignore_label"):
            kept = bottom[1].integers().ravel() != self.param.loss_param.ignore_label
            logarithms = np.log(np.maximum(_chosen(At(self, bottom, top)), FLOOR))
            top[0].data[...] = -(logarithms * kept).sum() / bottom[0].shape[0]


MUTANTS = mutants_of(
    "multinomial_logistic_loss",
    MultinomialLogisticLoss,
    (
        *COMMON,
        control(_sum_of(lambda p: np.log(np.maximum(p, FLOOR)))),
        Slip(
            "floor-missing",
            "The logarithm has no floor: a probability of 0 costs infinitely much.",
            "classic slip",
            Cause.LOG_FLOOR,
            _sum_of(np.log),
        ),
        Slip(
            "floor-of-softmax",
            "The logarithm's floor is FLT_MIN, as in SoftmaxWithLoss.",
            "the two floors of Caffe's losses mixed up",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 2.0**-126))),
        ),
        Slip(
            "floor-in-double",
            "The floor is 1e-20 rounded to double and not to float.",
            "a constant whose type in Caffe is float",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-20))),
            dialect="bvlc",
        ),
        Slip(
            "floor-of-keras",
            "Probabilities are clipped at 1e-7.",
            "the epsilon of another framework's backend",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-7))),
        ),
        Slip(
            "logarithm-from-a-table",
            "Probabilities between 1e-14 and 1e-10 are taken for 1e-12.",
            "a table of logarithms with a coarse end",
            Cause.UNNAMEABLE,
            _sum_of(lambda p: np.log(np.where((p > 1e-14) & (p < 1e-10), 1e-12, np.maximum(p, FLOOR)))),
        ),
        Slip(
            "floor-added",
            "1e-7 is added to the probability before the logarithm.",
            "classic slip",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p + 1e-7, FLOOR))),
        ),
        Slip(
            "clipped-at-one",
            "Entries above 1 are taken for 1.",
            "a clip to [eps, 1] as other frameworks have it",
            Cause.UNNAMEABLE,
            _sum_of(lambda p: np.log(np.clip(p, FLOOR, 1))),
        ),
        Slip(
            "logarithm-to-base-2",
            "The loss is in bits.",
            "classic slip",
            Cause.COMMON_FACTOR,
            _sum_of(lambda p: np.log2(np.maximum(p, FLOOR))),
        ),
        Slip(
            "gradient-unfloored",
            "Backward divides by the probability itself: infinite at 0.",
            "forward and backward that clip differently",
            Cause.LOG_FLOOR,
            instead(_UnflooredGradient),
        ),
        Slip(
            "gradient-at-floor-zeroed",
            "The gradient is 0 where the probability is below the floor.",
            "the derivative of the loss that Caffe reports there",
            Cause.NONE,
            _where_low(np.zeros_like),
            equivalent="the ledger of departures names this region: the derivative, 0, is right as well",
        ),
        Slip(
            "gradient-at-floor-halved",
            "The gradient is halved where the probability is below the floor.",
            "a clamp whose gradient is neither of the two",
            Cause.LOG_FLOOR,
            _where_low(lambda x: x / 2),
        ),
        Slip(
            "others-left",
            "Backward writes the labels' entries only: the others keep what was there.",
            "a missing memset before a scatter",
            Cause.STALE_BUFFER,
            instead(_OthersLeft),
        ),
        Slip(
            "softmax-inside",
            "The bottom is taken for logits.",
            "an infogain layer whose first bottom changed its meaning",
            Cause.UNNAMEABLE,
            reading(_softmax),
        ),
        Slip(
            "label-from-one",
            "Labels count from 1.",
            "data sets made for languages whose arrays start at 1",
            Cause.LABEL_OFF_BY_ONE,
            reading(lambda y, at: np.maximum(y - 1, 0), 1),
        ),
        Slip(
            "label-rounded",
            "Labels are rounded to the nearest class.",
            "a CTC layer that adds a half before it truncates",
            Cause.TRUNCATION,
            reading(lambda y, at: np.clip(np.rint(y), 0, at.entries - 1), 1),
        ),
        Slip(
            "ignore-label-honoured",
            "Samples of loss_param's ignore_label cost nothing.",
            "loss_param accepted by a layer that has no use for it",
            Cause.OPTION_IGNORED,
            instead(_IgnoreLabel),
        ),
        Slip(
            "divided-by-classes",
            "The loss is divided by the classes as well.",
            "a mean over all entries",
            Cause.INNER_SIZE,
            loss(lambda x, at: x / at.entries),
        ),
    ),
)
