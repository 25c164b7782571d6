"""What can be wrong in L1Loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, At, Blobs, Slip, Values, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.l1_loss import L1Loss

__all__ = ["MUTANTS"]


class _FirstBottomOnly(L1Loss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [propagate_down[0], False], bottom)


def _zero_is_positive(x: Values, at: At) -> Values:
    difference = at.bottom[0].wide - at.bottom[1].wide.reshape(at.bottom[0].shape)
    return np.where(difference.reshape(x.shape) == 0, at.top[0].wide_diff / at.batch, x)


def _zero_is_negative(x: Values, at: At) -> Values:
    return np.where(_zero_is_positive(x, at) != x, -at.top[0].wide_diff / at.batch, x)


def _unmasked(x: Values, at: At) -> Values:
    """Without the entries whose target is negative."""
    return np.where(at.bottom[1].wide.reshape(x.shape) < 0, 0.0, x)


def _smooth(x: Values, at: At) -> Values:
    difference = (at.bottom[0].wide - at.bottom[1].wide.reshape(at.bottom[0].shape)).reshape(x.shape)
    return np.where(np.absolute(difference) < 1, x * np.absolute(difference), x)


def _over_entries(x: Values, at: At) -> Values:
    return x / at.entries


MUTANTS = mutants_of(
    "l1_loss",
    L1Loss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "mean-of-entries",
            "Loss and gradient are divided by the number of entries and not by the batch size.",
            "conversions between frameworks, whose L1 losses are means over all entries",
            Cause.INNER_SIZE,
            lambda layer: gradient(_over_entries)(loss(_over_entries)(layer)),
        ),
        Slip(
            "loss-mean-of-entries",
            "The loss is divided by the number of entries, the gradient by the batch size.",
            "a detector's mean absolute error, reported a hundred times too small",
            Cause.INNER_SIZE,
            loss(_over_entries),
        ),
        Slip(
            "halved-as-euclidean",
            "Loss and gradient are halved, as EuclideanLoss's are.",
            "a copy of EuclideanLoss",
            Cause.FACTOR_2,
            lambda layer: gradient(lambda x, at: x / 2)(loss(lambda x, at: x / 2)(layer)),
        ),
        Slip(
            "sign-of-zero-negative",
            "The slope of an exact match is -1.",
            "FlowNet's L1Loss, whose sign is -1 unless the difference is above 0",
            Cause.UNNAMEABLE,
            gradient(_zero_is_negative, 0),
            equivalent="a subgradient at the kink, where `documented` takes any",
        ),
        Slip(
            "zero-costs",
            "1e-2 is added to every absolute difference.",
            "FlowNet's L1Loss, in which an exact match costs the root of its epsilon",
            Cause.UNNAMEABLE,
            loss(lambda x, at: x + 1e-2 * at.entries),
        ),
        Slip(
            "smooth-near-zero",
            "The gradient is the difference itself where that is below 1.",
            "SmoothL1Loss under another name",
            Cause.UNNAMEABLE,
            gradient(_smooth),
        ),
        Slip(
            "negative-targets-masked",
            "Entries whose target is negative have no gradient.",
            "a fork whose L1Loss masks negative labels on the GPU alone",
            Cause.UNNAMEABLE,
            gradient(_unmasked),
        ),
        Slip(
            "first-bottom-only",
            "Only the first bottom gets a gradient.",
            "an early EuclideanLoss that sent the gradient to the prediction alone",
            Cause.ONE_BOTTOM,
            instead(_FirstBottomOnly),
        ),
        Slip(
            "second-not-negated",
            "Both bottoms get the gradient of the first.",
            "classic slip",
            Cause.ONE_BOTTOM,
            gradient(lambda x, at: -x, 1),
        ),
        Slip(
            "root-of-squares",
            "The loss is the root of the sum of squares.",
            "an L2 norm for an L1 norm",
            Cause.UNNAMEABLE,
            loss(lambda x, at: np.sqrt(x * at.batch) / at.batch),
        ),
    ),
)
