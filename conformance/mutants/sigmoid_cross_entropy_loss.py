"""What can be wrong in SigmoidCrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.normalising import CONTROL, IGNORING, NORMALIZE, normalising, with_default
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layers.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss

__all__ = ["MUTANTS"]


def _entries(at: At) -> tuple[Any, Any, Any]:
    """Scores, targets and what counts, in the scores' shape."""
    shape = at.bottom[0].shape
    return at.bottom[0].wide, at.bottom[1].wide.reshape(shape), at.counted.reshape(shape)


def _sum_of(entry: Callable[[Any, Any], Any]) -> Alter:
    """The loss with other terms."""

    def change(_: Any, at: At) -> Any:
        x, t, counted = _entries(at)
        return np.where(counted, entry(x, t), 0).sum() / at.normaliser

    return loss(change)


def _stable(x: Any, t: Any) -> Any:
    return np.log1p(np.exp(np.where(np.isinf(x), np.nan, -np.absolute(x)))) - x * (t - (x >= 0))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _textbook(x: Any, t: Any) -> Any:
    return -t * np.log(_sigmoid(x)) - (1 - t) * np.log(1 - _sigmoid(x))


def _clipped(x: Any, t: Any) -> Any:
    s = np.clip(_sigmoid(x), 1e-7, 1 - 1e-7)
    return -t * np.log(s) - (1 - t) * np.log(1 - s)


def _with_slope(x: Any, at: At) -> Any:
    s = _sigmoid(at.bottom[0].wide)
    return x * s * (1 - s)


class _ComparesFloats(SigmoidCrossEntropyLoss):
    """Ignores a target that equals the ignored label, without truncating it."""

    def _counted(self, bottom: Blobs) -> Any:
        if self.normalisation.ignored is None:
            return super()._counted(bottom)
        return bottom[1].wide.reshape(bottom[0].shape) != self.normalisation.ignored


class _HardTargetsOnly(SigmoidCrossEntropyLoss):
    """Targets other than 0 and 1 have no term in the loss, and a gradient all the same."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        x, t, counted = _entries(At(self, bottom, top))
        hard = counted & ((t == 0) | (t == 1))
        top[0].data[...] = np.where(hard, _stable(x, t), 0).sum() / self.divisor


class _InfiniteScoresSettled(SigmoidCrossEntropyLoss):
    """An infinite score on the right side of its target costs nothing, as the limit has it."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        x, t, counted = _entries(At(self, bottom, top))
        terms = np.where(np.isinf(x), np.where((x > 0) == (t == 1), 0.0, np.inf), _stable(x, t))
        top[0].data[...] = np.where(counted, terms, 0).sum() / self.divisor


class _GradientOfScores(SigmoidCrossEntropyLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        self.sigmoid.data[...] = bottom[0].wide
        super().backward(top, propagate_down, bottom)


MUTANTS = mutants_of(
    "sigmoid_cross_entropy_loss",
    SigmoidCrossEntropyLoss,
    (
        *COMMON,
        control(_sum_of(_stable)),
        CONTROL,
        *normalising("BATCH_SIZE"),
        *NORMALIZE,
        *IGNORING,
        Slip(
            "default-valid",
            "Without a normalization the divisor is VALID's.",
            "the default of SoftmaxWithLoss where this layer has BATCH_SIZE",
            Cause.NORMALISATION_MODE,
            with_default("VALID"),
        ),
        Slip(
            "default-none",
            "Without a normalization nothing is divided.",
            "classic slip",
            Cause.NORMALISATION_MODE,
            with_default("NONE"),
        ),
        Slip(
            "magnitudes-summed",
            "The loss is the sum of its terms' magnitudes.",
            "Caffe's GPU code, which adds up with asum",
            Cause.UNNAMEABLE,
            _sum_of(lambda x, t: np.absolute(_stable(x, t))),
            dialect="bvlc",
        ),
        Slip(
            "textbook-form",
            "The loss is computed from the sigmoid: infinite or NaN for large scores.",
            "the form that Caffe's comment warns of",
            Cause.OVERFLOW,
            _sum_of(_textbook),
        ),
        Slip(
            "unstable-on-one-side",
            "The loss is log(1 + exp(x)) - x t: infinite for large positive scores.",
            "a stable form used for both signs",
            Cause.OVERFLOW,
            _sum_of(lambda x, t: np.log(1 + np.exp(x)) - x * t),
        ),
        Slip(
            "sigmoid-clipped",
            "The sigmoid is clipped to 1e-7 from 0 and 1 in the loss.",
            "the epsilon of another framework's backend",
            Cause.LOG_FLOOR,
            _sum_of(_clipped),
        ),
        Slip(
            "saturated-beyond-ten",
            "Scores are held between -10 and 10.",
            "a table of exponentials that ends there",
            Cause.UNNAMEABLE,
            reading(lambda x, at: np.clip(x, -10, 10)),
        ),
        Slip(
            "linear-beyond-eight",
            "Beyond 8 the loss is x, or 0, without the exponential that is left.",
            "the usual approximation of a softplus",
            Cause.UNNAMEABLE,
            _sum_of(lambda x, t: np.where(np.absolute(x) > 8, np.maximum(x, 0) - x * t, _stable(x, t))),
        ),
        Slip(
            "positive-only",
            "Only the term of the target is added up, not that of its complement.",
            "softmax's cross entropy applied to sigmoids",
            Cause.UNNAMEABLE,
            _sum_of(lambda x, t: t * np.logaddexp(0, -x)),
        ),
        Slip(
            "sign-of-score-flipped",
            "The stable form tests x > 0 the wrong way round.",
            "classic slip",
            Cause.UNNAMEABLE,
            _sum_of(lambda x, t: np.log1p(np.exp(-np.absolute(x))) - x * (t - (x < 0))),
        ),
        Slip(
            "gradient-with-slope",
            "The gradient carries the derivative of the sigmoid as well.",
            "a sigmoid layer's backward run after the loss's",
            Cause.UNNAMEABLE,
            gradient(_with_slope),
        ),
        Slip(
            "gradient-of-scores",
            "The gradient is x - t: the sigmoid is not applied.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_GradientOfScores),
        ),
        Slip(
            "targets-thresholded",
            "Targets are 1 from a half upwards and 0 below.",
            "targets taken for bits",
            Cause.TRUNCATION,
            reading(lambda t, at: np.where((t < 0) | (t > 1), t, t >= 0.5), 1),
        ),
        Slip(
            "targets-truncated",
            "Targets are truncated to integers.",
            "labels of type int",
            Cause.TRUNCATION,
            reading(lambda t, at: np.trunc(t), 1),
        ),
        Slip(
            "targets-clamped",
            "Targets are clamped to [0, 1].",
            "targets taken for probabilities",
            Cause.UNNAMEABLE,
            reading(lambda t, at: np.where(t == at.layer.normalisation.ignored, t, np.clip(t, 0, 1)), 1),
        ),
        Slip(
            "hard-targets-only",
            "Targets other than 0 and 1 cost nothing, and get a gradient all the same.",
            "a balanced loss for edges",
            Cause.TRUNCATION,
            instead(_HardTargetsOnly),
        ),
        Slip(
            "ignored-exactly",
            "A target is ignored where it equals ignore_label, without being truncated.",
            "a comparison of floats where Caffe converts to int",
            Cause.TRUNCATION,
            instead(_ComparesFloats),
        ),
        Slip(
            "infinite-scores-settled",
            "An infinite score costs 0 or infinity, as its limit does, and not NaN.",
            "a formula rearranged to max(x, 0) - x t",
            Cause.SPECIAL_VALUES,
            instead(_InfiniteScoresSettled),
        ),
        Slip(
            "targets-transposed",
            "Targets are read in column-major order.",
            "classic slip",
            Cause.TRANSPOSED,
            reading(lambda t, at: t.reshape(at.batch, -1).T.reshape(t.shape), 1),
        ),
    ),
)
