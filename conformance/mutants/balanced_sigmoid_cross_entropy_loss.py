"""What can be wrong in SigmoidCrossEntropyLoss that balances edges and background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.arithmetic import sigmoid
from refimpl.layers.balanced_sigmoid_cross_entropy_loss import BalancedSigmoidCrossEntropyLoss as Right
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"
Shares = tuple[Any, Any]


def _shares(change: Callable[[Any, Any, Any], Shares]) -> Alter:
    """Other factors of ones and zeros, of how many ones, zeros and entries each image has."""

    class Wrong(Right):
        def _shares(self, x: Any, t: Any) -> Shares:
            ones, zeros = ((t == value).sum(1).astype(float) for value in (1, 0))
            return change(ones, zeros, np.full_like(ones, t.shape[1]))

    return instead(Wrong)


def _over_batch(ones: Any, zeros: Any, entries: Any) -> Shares:
    positive, negative = np.full_like(ones, ones.sum()), np.full_like(zeros, zeros.sum())
    return negative / (positive + negative), positive / (positive + negative)


def _running(ones: Any, zeros: Any, entries: Any) -> Shares:
    positive, negative = np.cumsum(ones), np.cumsum(zeros)
    return negative / (positive + negative), positive / (positive + negative)


def _other_targets(slope: Callable[[Any, Any], Any]) -> Alter:
    """Another gradient where a target is neither."""

    def change(x: Any, at: At) -> Any:
        t = at.bottom[1].wide.reshape(x.shape)
        s = sigmoid(at.bottom[0].wide)
        scale = at.top[0].wide_diff / at.batch
        return np.where((t != 0) & (t != 1), slope(s, t) * scale, x)

    return gradient(change)


class _OthersAreOnes(Right):
    """Whatever is not 0 is an edge."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(self._read(bottom), top)

    def backward(self, top: Blobs, propagate_down: Any, bottom: Blobs) -> None:
        super().backward(top, propagate_down, self._read(bottom))

    def _read(self, bottom: Blobs) -> list[Any]:
        copy = self.context.blob(*bottom[1].shape)
        copy.data[...] = bottom[1].data != 0
        return [bottom[0], copy]


def _plain_loss(_: Any, at: At) -> Any:
    x, t = (blob.wide.reshape(at.batch, -1) for blob in at.bottom)
    return cross_entropy(x, t).sum() / at.batch


def _others_cost(x: Any, at: At) -> Any:
    scores, t = (blob.wide.reshape(at.batch, -1) for blob in at.bottom)
    return x + np.where((t != 0) & (t != 1), cross_entropy(scores, t), 0).sum() / at.batch


def _unstable(_: Any, at: At) -> Any:
    x, t = (blob.wide.reshape(at.batch, -1) for blob in at.bottom)
    s = 1 / (1 + np.exp(-x))
    ones, zeros = at.layer._shares(x, t)
    costs = np.where(t == 1, -np.log(s) * ones[:, None], np.where(t == 0, -np.log(1 - s) * zeros[:, None], 0))
    return costs.sum() / at.batch


MUTANTS = mutants_of(
    "balanced_sigmoid_cross_entropy_loss",
    Right,
    (
        *COMMON,
        control(_shares(lambda ones, zeros, entries: (zeros / (ones + zeros), ones / (ones + zeros)))),
        Slip(
            "shares-swapped",
            "Ones weigh as their own share, zeros as theirs: the many weigh more.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _shares(lambda ones, zeros, entries: (ones / (ones + zeros), zeros / (ones + zeros))),
        ),
        Slip(
            "balanced-over-the-batch",
            "Ones and zeros are counted over the batch, and not in each image.",
            "ports whose counts are those of the whole tensor",
            Cause.UNNAMEABLE,
            _shares(_over_batch),
        ),
        Slip(
            "counters-not-reset",
            "An image counts the ones and zeros of those before it, too.",
            "counters of an edge detector that were set to 0 outside the loop over images",
            Cause.UNNAMEABLE,
            _shares(_running),
        ),
        Slip(
            "shares-of-all-entries",
            "The shares are of all entries, those included that are neither.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _shares(lambda ones, zeros, entries: (zeros / entries, ones / entries)),
        ),
        Slip(
            "zeros-are-the-rest",
            "What is not 1 is counted as 0.",
            "a count of zeros that is the count of entries less the ones",
            Cause.UNNAMEABLE,
            _shares(lambda ones, zeros, entries: ((entries - ones) / entries, ones / entries)),
        ),
        Slip(
            "ones-alone-weighted",
            "Ones weigh as zeros are to ones, zeros weigh 1.",
            "PyTorch's pos_weight in place of two shares",
            Cause.UNNAMEABLE,
            _shares(lambda ones, zeros, entries: (zeros / np.maximum(ones, 1), np.ones_like(ones))),
        ),
        Slip(
            "background-tenth-more-squared",
            "Zeros weigh 1.21 times their share.",
            "the factor of RCF, applied where the share is made and where it is used",
            Cause.UNNAMEABLE,
            _shares(lambda ones, zeros, entries: (zeros / (ones + zeros), 1.21 * ones / (ones + zeros))),
        ),
        Slip(
            "empty-image-guarded",
            "An image without ones and zeros costs nothing.",
            "a guard against 0/0 that no fork has",
            Cause.SPECIAL_VALUES,
            _shares(
                lambda ones, zeros, entries: (zeros / np.maximum(ones + zeros, 1), ones / np.maximum(ones + zeros, 1))
            ),
        ),
        Slip(
            "loss-not-balanced",
            "The loss is the plain cross entropy, the gradient is balanced.",
            "layers whose displayed loss was left as it was",
            Cause.UNNAMEABLE,
            loss(_plain_loss),
        ),
        Slip(
            "others-cost",
            "A target that is neither 0 nor 1 costs its plain cross entropy.",
            CLASSIC,
            Cause.UNNAMEABLE,
            loss(_others_cost),
        ),
        Slip(
            "others-pushed-to-zero",
            "A target that is neither is taken for 0 in the gradient.",
            "a comparison with 1 and an else",
            Cause.UNNAMEABLE,
            _other_targets(lambda s, t: s),
        ),
        Slip(
            "others-pushed-half",
            "The gradient at a target that is neither is half of HED's.",
            CLASSIC,
            Cause.UNNAMEABLE,
            _other_targets(lambda s, t: (s - t) / 2),
        ),
        Slip(
            "others-are-ones",
            "Whatever is not 0 is an edge.",
            "a fork whose positives are all that is not 0",
            Cause.TRUNCATION,
            instead(_OthersAreOnes),
        ),
        Slip(
            "targets-rounded",
            "Targets are rounded to 0 and 1.",
            "edge maps of grey values, read as bits",
            Cause.TRUNCATION,
            reading(lambda t, at: np.clip(np.rint(t), 0, 1), 1),
        ),
        Slip(
            "logarithm-of-the-sigmoid",
            "The sigmoid is taken first and its logarithm then: scores of some size cost infinitely much.",
            CLASSIC,
            Cause.OVERFLOW,
            loss(_unstable),
        ),
    ),
)
