"""What can be wrong in TripletLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import (
    REWRITTEN,
    At,
    Blobs,
    Slip,
    Values,
    gradient,
    instead,
    mutants_of,
    reading,
)
from conformance.record.cause import Cause
from refimpl.layers.triplet_loss import TripletLoss

__all__ = ["MUTANTS"]


class _Inactive(TripletLoss):
    """Every triplet has a gradient."""

    def _slope(self, values: Any) -> Any:
        return np.ones(values.shape)


class _Unhalved(TripletLoss):
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        top[0].data[...] = 2 * top[0].wide


class _NegativesMixedUp(TripletLoss):
    """The negative's gradient is made of the positive."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        closer, further, apart = self.differences
        super().backward(top, [*propagate_down[:2], False], bottom)
        self.differences = [closer, closer, apart]
        slope = self._slope(self._values(closer.wide, further.wide))
        if propagate_down[2]:
            scale = np.expand_dims(slope * top[0].wide_diff / bottom[0].shape[0], 1)
            bottom[2].diff[...] = (closer.wide * scale).reshape(bottom[2].shape)
        self.differences = [closer, further, apart]


class _Distances(TripletLoss):
    """Distances instead of their squares."""

    def _values(self, closer: Any, further: Any) -> Any:
        return self.margin + np.sqrt((closer * closer).sum(1)) - np.sqrt((further * further).sum(1))


class _AllTriplets(TripletLoss):
    """Divides by the active triplets."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        active = np.count_nonzero(self._values(self.differences[0].wide, self.differences[1].wide) > 0)
        top[0].data[...] = top[0].wide * bottom[0].shape[0] / max(active, 1)


class _OneMargin(TripletLoss):
    def _margin(self) -> float:
        return 1.0


class _SquaredMargin(TripletLoss):
    def _margin(self) -> float:
        return super()._margin() ** 2


class _WithoutMargin(TripletLoss):
    """The margin decides whether a triplet is active, and is not part of what it costs."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        values = self._values(self.differences[0].wide, self.differences[1].wide)
        top[0].data[...] = np.where(values > 0, values - self.margin, 0).sum() / (2 * bottom[0].shape[0])


class _AnchorLater(TripletLoss):
    """The anchor's gradient only where the positive's is asked for."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [all(propagate_down[:2]), *propagate_down[1:]], bottom)


def _last_triplet_alone(x: Values, at: At) -> Values:
    """A later triplet over an earlier one: only the last is left."""
    x[:-1] = 0
    return x


MUTANTS = mutants_of(
    "triplet_loss",
    TripletLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "inactive-pushed",
            "Triplets beyond the margin have a gradient, too.",
            "a fork that writes the gradient outside the test of activity",
            Cause.UNNAMEABLE,
            instead(_Inactive),
        ),
        Slip(
            "half-forgotten",
            "The loss is the mean of the triplets, without the half.",
            "forks whose loss is a mean over triplets",
            Cause.FACTOR_2,
            instead(_Unhalved),
        ),
        Slip(
            "negative-from-positive",
            "The negative's gradient is that of a - p.",
            "a fork that passes the positive's pointer for the negative's",
            Cause.ONE_BOTTOM,
            instead(_NegativesMixedUp),
        ),
        Slip(
            "distances",
            "Distances are compared, and not their squares.",
            "torch's triplet_margin_loss",
            Cause.UNNAMEABLE,
            instead(_Distances),
        ),
        Slip(
            "mean-of-active",
            "The loss is divided by twice the number of active triplets.",
            "batch-hard mining, whose mean is over what is left",
            Cause.UNNAMEABLE,
            instead(_AllTriplets),
        ),
        Slip(
            "margin-ignored",
            "The margin is always 1.",
            "a margin that is read from param_str in one half of a layer",
            Cause.MARGIN,
            instead(_OneMargin),
        ),
        Slip(
            "margin-squared",
            "The margin is squared, as the distances are.",
            "classic slip",
            Cause.MARGIN,
            instead(_SquaredMargin),
        ),
        Slip(
            "margin-not-paid",
            "An active triplet costs the difference of its distances without the margin.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_WithoutMargin),
        ),
        Slip(
            "roles-swapped",
            "The second bottom is taken for the negatives and the third for the positives.",
            "bottoms in another order than the fork's",
            Cause.UNNAMEABLE,
            reading(lambda x, at: at.bottom[2].wide.reshape(x.shape), 1),
        ),
        Slip(
            "anchor-needs-positive",
            "The anchor gets a gradient only where the positive does.",
            "classic slip",
            Cause.ONE_BOTTOM,
            instead(_AnchorLater),
        ),
        Slip(
            "later-triplet-overwrites",
            "Only the last triplet's gradient is left.",
            "a gradient that is scaled by 0 before each triplet is added",
            Cause.UNNAMEABLE,
            gradient(_last_triplet_alone),
        ),
        Slip(
            "positive-not-negated",
            "The positive's gradient has the sign of the anchor's.",
            "classic slip",
            Cause.ONE_BOTTOM,
            gradient(lambda x, at: -x, 1),
        ),
    ),
)
