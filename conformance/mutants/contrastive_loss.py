"""What can be wrong in ContrastiveLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layers.contrastive_loss import OFFSET, ContrastiveLoss

__all__ = ["MUTANTS"]


class _Formula(ContrastiveLoss):
    """The formula in one place, for mutants to change; arrays over pairs, ``distance`` and ``similar`` among them."""

    offset = OFFSET

    def pairs(self, bottom: Blobs) -> tuple[Any, Any, Any]:
        """The differences (N, C), the distances and what is similar (N,)."""
        difference = (bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)).reshape(bottom[0].shape[0], -1)
        similar = bottom[2].integers().ravel()[: len(difference)] != 0
        return difference, np.sqrt((difference**2).sum(axis=1)), similar

    def cost(self, distance: Any) -> Any:
        """Of a dissimilar pair."""
        if self.legacy:
            return np.maximum(self.margin - distance**2, 0)
        return np.maximum(self.margin - distance, 0) ** 2

    def push(self, distance: Any) -> Any:
        """The factor of a dissimilar pair's difference in its gradient."""
        if self.legacy:
            return -(self.margin - distance**2 > 0).astype(float)
        return -np.maximum(self.margin - distance, 0) / (distance + self.offset)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        _, distance, similar = self.pairs(bottom)
        top[0].data[...] = np.where(similar, distance**2, self.cost(distance)).sum() / (2 * bottom[0].shape[0])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        difference, distance, similar = self.pairs(bottom)
        factor = np.where(similar, 1.0, self.push(distance)) * top[0].wide_diff / bottom[0].shape[0]
        difference = np.where((factor == 0)[:, None], 0, difference)
        for blob, wanted, sign in zip(bottom[:2], propagate_down, (1, -1), strict=False):
            if wanted:
                blob.diff[...] = (sign * factor[:, None] * difference).reshape(blob.shape)


class _Expanded(_Formula):
    def pairs(self, bottom: Blobs) -> tuple[Any, Any, Any]:
        difference, _, similar = super().pairs(bottom)
        a, b = (blob.data.reshape(len(difference), -1) for blob in bottom[:2])
        squares = (a * a).sum(axis=1, dtype=a.dtype) + (b * b).sum(axis=1, dtype=a.dtype)
        squared = squares - 2 * (a * b).sum(axis=1, dtype=a.dtype)
        return difference, np.sqrt(np.maximum(squared, 0)), similar


class _MarginNotSquared(_Formula):
    def cost(self, distance: Any) -> Any:
        return np.maximum(self.margin - distance, 0)


class _NotCut(_Formula):
    def cost(self, distance: Any) -> Any:
        return self.margin - distance**2 if self.legacy else (self.margin - distance) ** 2


class _GradientNotCut(_Formula):
    def push(self, distance: Any) -> Any:
        return -np.ones_like(distance) if self.legacy else -(self.margin - distance) / (distance + self.offset)


class _WithoutOffset(_Formula):
    def push(self, distance: Any) -> Any:
        if self.legacy:
            return super().push(distance)
        return np.where(distance > 0, -np.maximum(self.margin - distance, 0) / np.where(distance > 0, distance, 1), 0)


class _Unguarded(_Formula):
    offset = 0.0


class _LargerOffset(_Formula):
    offset = 1e-2


class _OffsetInLoss(_Formula):
    def cost(self, distance: Any) -> Any:
        return super().cost(distance) if self.legacy else np.maximum(self.margin - distance - self.offset, 0) ** 2


class _OffsetUnderRoot(_Formula):
    def push(self, distance: Any) -> Any:
        if self.legacy:
            return super().push(distance)
        return -np.maximum(self.margin - distance, 0) / np.sqrt(distance**2 + self.offset)


class _LegacyPushesEvenly(_Formula):
    """The legacy gradient of the GPU code: -alpha, without a - b."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        _, distance, similar = self.pairs(bottom)
        inside = (~similar & (self.margin - distance**2 > 0) & self.legacy)[:, None]
        for blob, wanted, sign in zip(bottom[:2], propagate_down, (1, -1), strict=False):
            if wanted:
                even = -sign * top[0].wide_diff / blob.shape[0]
                blob.diff[...] = np.where(inside, even, blob.wide_diff.reshape(len(inside), -1)).reshape(blob.shape)


class _LegacySquared(_Formula):
    def cost(self, distance: Any) -> Any:
        cost = super().cost(distance)
        return cost**2 if self.legacy else cost


class _FirstBottomOnly(ContrastiveLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [propagate_down[0], False, False], bottom)


def _with(**fields: Any) -> Alter:
    """Fields of the layer set to something else after set-up."""

    class Wrong(ContrastiveLoss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            for name, value in fields.items():
                setattr(self, name, value(self))

    return instead(Wrong)


def _labels(change: Any) -> Alter:
    """The similarities read as something else."""
    return reading(lambda s, at: change(s).astype(np.float64), 2)


class _SharedLegacyMargin(ContrastiveLoss):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        if self.legacy:
            self._memory["margin"] = self.margin

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        self.margin = self._memory["margin"] if self.legacy else self.margin
        super().forward(bottom, top)

    @property
    def _memory(self) -> dict[str, Any]:
        """What all layers of a net share."""
        found: dict[str, Any] = self.context.__dict__.setdefault("memory", {})
        return found


def _of_few_entries(x: Any, at: At) -> Any:
    if at.layer.legacy:
        x.reshape(at.batch, -1)[~at.layer.similar(at.bottom), 256:] = 0
    return x


MUTANTS = mutants_of(
    "contrastive_loss",
    ContrastiveLoss,
    (
        *COMMON,
        control(instead(_Formula)),
        Slip(
            "square-expanded",
            "The squared distance is expanded: |a|^2 + |b|^2 - 2ab, which cancels.",
            "a distance by matrix products",
            Cause.UNNAMEABLE,
            instead(_Expanded),
        ),
        Slip(
            "half-forgotten",
            "The sum is divided by N and not by 2 N.",
            "classic slip",
            Cause.FACTOR_2,
            loss(lambda x, at: 2 * x),
        ),
        Slip(
            "divided-by-length",
            "The loss is divided by the length of the vectors as well.",
            "a mean over all entries",
            Cause.INNER_SIZE,
            loss(lambda x, at: x / at.entries),
        ),
        Slip(
            "margin-not-squared",
            "A dissimilar pair costs margin - d and not its square.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_MarginNotSquared),
        ),
        Slip(
            "always-legacy",
            "Dissimilar pairs cost margin - d^2 whatever legacy_version says.",
            "the formula before the option was made, under the same prototxt",
            Cause.OPTION_IGNORED,
            _with(legacy=lambda layer: True),
        ),
        Slip(
            "never-legacy",
            "legacy_version is not read.",
            "the formula after the option was made, under the same prototxt",
            Cause.OPTION_IGNORED,
            _with(legacy=lambda layer: False),
        ),
        Slip(
            "margin-of-1",
            "The margin is 1 whatever the prototxt says.",
            "classic slip",
            Cause.OPTION_IGNORED,
            _with(margin=lambda layer: 1.0),
        ),
        Slip(
            "margin-squared",
            "The margin is squared before it is used.",
            "the square of a distance held against the square of the margin",
            Cause.MARGIN,
            _with(margin=lambda layer: layer.margin**2),
        ),
        Slip(
            "margin-not-cut",
            "Dissimilar pairs beyond the margin cost something, too.",
            "classic slip",
            Cause.MARGIN,
            instead(_NotCut),
            dialect="bvlc",
        ),
        Slip(
            "gradient-not-cut",
            "Dissimilar pairs beyond the margin are pulled together.",
            "classic slip",
            Cause.MARGIN,
            instead(_GradientNotCut),
        ),
        Slip(
            "all-similar",
            "Every pair is similar in backward.",
            "a layer of a fork that compared its label with itself",
            Cause.UNNAMEABLE,
            reading(lambda s, at: np.ones_like(s), 2, forward=False),
        ),
        Slip(
            "labels-inverted",
            "0 means similar.",
            "the two conventions for pairs",
            Cause.UNNAMEABLE,
            _labels(lambda s: np.trunc(s) == 0),
        ),
        Slip(
            "similar-only-1",
            "Only a similarity of 1 means similar: 2 and -1 do not.",
            "a comparison with 1 where Caffe converts to bool",
            Cause.UNNAMEABLE,
            _labels(lambda s: np.trunc(s) == 1),
        ),
        Slip(
            "similarity-not-truncated",
            "Any similarity but 0 means similar: 0.5 does.",
            "a comparison of floats where Caffe converts to int",
            Cause.TRUNCATION,
            _labels(lambda s: s != 0),
        ),
        Slip(
            "similarity-rounded",
            "Similarities are rounded to the nearest integer.",
            "a CTC layer that adds a half before it truncates",
            Cause.TRUNCATION,
            _labels(np.rint),
        ),
        Slip(
            "legacy-pushes-evenly",
            "The legacy gradient of a dissimilar pair lacks the factor a - b.",
            "Caffe's GPU code for legacy_version",
            Cause.UNNAMEABLE,
            instead(_LegacyPushesEvenly),
        ),
        Slip(
            "legacy-squared",
            "With legacy_version the missing margin is squared.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_LegacySquared),
        ),
        Slip(
            "margin-of-the-last-legacy",
            "All layers of a net with legacy_version have the margin of the one that was set up last.",
            "a static option of the kernel that a switch selects",
            Cause.UNNAMEABLE,
            instead(_SharedLegacyMargin),
        ),
        Slip(
            "legacy-of-few-entries",
            "With legacy_version a dissimilar pair gets no gradient beyond its 256th entry.",
            "a kernel of one block for each pair",
            Cause.AT_SCALE,
            gradient(_of_few_entries),
            at_scale=True,
        ),
        Slip(
            "exact-derivative",
            "The gradient divides by the distance, without the 1e-4.",
            "the derivative of the loss that Caffe reports",
            Cause.NONE,
            instead(_WithoutOffset),
            equivalent="the ledger of departures names this region: Caffe's formula and the derivative are both right",
        ),
        Slip(
            "division-unguarded",
            "A dissimilar pair at distance 0 gets the gradient NaN.",
            "the division before the small number was added",
            Cause.SPECIAL_VALUES,
            instead(_Unguarded),
        ),
        Slip(
            "larger-offset",
            "The gradient divides by d + 0.01.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_LargerOffset),
        ),
        Slip(
            "offset-in-loss",
            "The loss uses d + 1e-4, too.",
            "the small number moved to where the distance is computed",
            Cause.UNNAMEABLE,
            instead(_OffsetInLoss),
        ),
        Slip(
            "offset-under-root",
            "The gradient divides by the root of d^2 + 1e-4.",
            "an L1 layer that keeps its small number under the root",
            Cause.UNNAMEABLE,
            instead(_OffsetUnderRoot),
        ),
        Slip(
            "first-bottom-only",
            "Only the first bottom gets a gradient.",
            "an early Caffe that sent the gradient to the prediction alone",
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
    ),
)
