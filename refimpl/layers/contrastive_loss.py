"""ContrastiveLoss: pulls similar pairs together, others apart (``src/caffe/layers/contrastive_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, may_be_below, rounded, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer
from refimpl.quirk import Departure, Quirk

__all__ = ["ContrastiveLoss", "per_pair"]

OFFSET = 1e-4
"""What Caffe adds to the distance before it divides by it."""


class ContrastiveLoss(LossLayer):
    """``L = sum_i (s_i ? d_i^2 : max(margin - d_i, 0)^2) / (2 N)`` with d_i = ||a_i - b_i||, N the first dimension.

    Bottoms a and b of shape (N, C), further dimensions 1, and s with at least N entries, (N,) or further dimensions
    1; a truncated s other than 0 means similar. With ``legacy_version`` a dissimilar pair costs ``max(margin - d_i^2,
    0)``. Either or both of a and b take a gradient; ``propagate_down`` for s is ignored.

    ``dL/da = w (a - b) / N`` for a similar pair, and for a dissimilar one with d < margin
    ``-w (margin - d) / (d + 1e-4) (a - b) / N``, legacy ``-w (a - b) / N``; ``dL/db = -dL/da``, w the top's diff.
    The added 1e-4 is a departure. Kinks of a dissimilar pair: d = 0, legacy d^2 = margin.
    """

    type = "ContrastiveLoss"
    exact_bottoms = 3
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "contrastive-buffers-sized-once",
            "ContrastiveLoss sizes its buffers at set-up: a larger batch overruns them (undefined behaviour; refused "
            "here)",
            "a layer follows its bottoms' shapes",
            "src/caffe/layers/contrastive_loss_layer.cpp LayerSetUp; include/caffe/layer.hpp Reshape",
            number=15,
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "contrastive-distance-offset",
            "a dissimilar pair inside the margin, without legacy_version",
            "the gradient divides by d + 1e-4 instead of d, and is 0 at d = 0",
            "src/caffe/layers/contrastive_loss_layer.cpp Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.margin = self.param.contrastive_loss_param.margin
        self.legacy = self.param.contrastive_loss_param.legacy_version
        self.difference = self.context.blob()
        self.room = (bottom[0].num, bottom[0].count)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        for name, blob in zip("ab", bottom, strict=False):
            if (blob.height, blob.width) != (1, 1):
                raise LayerError(f"bottom {name} has the shape {blob.shape}", "give it the shape (N, C)")
        if bottom[0].channels != bottom[1].channels:
            raise LayerError(
                f"the pairs {bottom[0].shape} and {bottom[1].shape} differ in length",
                "both bottoms need the same shape",
            )
        if (bottom[2].channels, bottom[2].height, bottom[2].width) != (1, 1, 1):
            raise LayerError(f"the similarities have the shape {bottom[2].shape}", "one per pair: (N,) or (N, 1, 1, 1)")
        self.difference.reshape(bottom[0].num, bottom[0].channels)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        self._refuse_larger_batch(bottom)
        similar = self.similar(bottom)
        difference = (bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)).reshape(self.difference.shape)
        self.difference.data[...] = difference
        squared = exact_sum(difference * difference, 1)
        short = np.maximum(self.margin - self._measure(squared), 0.0)
        losses = np.where(similar, squared, short if self.legacy else short * short)
        top[0].data[...] = exact_sum(losses) / (2 * bottom[0].num)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not any(propagate_down[:2]):
            return
        similar = self.similar(bottom)
        difference = self.difference.wide
        measure = self._measure(exact_sum(difference * difference, 1))
        inside = ~similar & may_be_below(measure, self.margin)
        factor = np.where(similar, 1.0, -self._push(measure, inside)) * (top[0].wide_diff / bottom[0].num)
        gradient = np.where(np.expand_dims(similar | inside, 1), weighted(difference, np.expand_dims(factor, 1)), 0.0)
        for blob, wanted, own in zip(bottom[:2], propagate_down, (gradient, -gradient), strict=False):
            if wanted:
                blob.diff[...] = own.reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """The distance in the space of a sample, which no single entry can undercut."""
        difference = value_of(bottom[0].wide) - value_of(bottom[1].wide).reshape(bottom[0].shape)
        length = np.sqrt(exact_sum((difference * difference).reshape(self.difference.shape), 1))
        distance = np.absolute(length - np.sqrt(self.margin)) if self.legacy and self.margin > 0 else length
        smooth = self.similar(bottom) | (self.margin <= 0)
        each = np.broadcast_to(np.where(smooth, np.inf, distance)[:, None], self.difference.shape)
        return [each.reshape(bottom[0].shape), each.reshape(bottom[1].shape), None]

    def similar(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        """Which of the N pairs are similar. Raises `LayerError` where there are fewer similarities than pairs."""
        return np.asarray(per_pair(bottom, 2) != 0)

    def _measure(self, squared: Any) -> Any:
        """What is held against the margin: the distance, legacy its square."""
        return squared if self.legacy else np.sqrt(squared)

    def _push(self, measure: Any, inside: NDArray[np.bool_]) -> Any:
        """How hard dissimilar pairs are pushed apart, in units of ``w (a - b) / N``."""
        if self.legacy:
            return step(self.margin - measure)
        missing = np.maximum(self.margin - measure, 0.0)
        if inside.any() and self.dialect.derivative("contrastive-distance-offset"):
            return np.where(measure > 0, missing / measure, 0.0)
        return missing / (measure + rounded(OFFSET, measure))

    def _refuse_larger_batch(self, bottom: Sequence[Blob]) -> None:
        pairs, entries = self.room
        larger = bottom[0].num > pairs or bottom[0].count > entries
        if larger and self.dialect.takes("contrastive-buffers-sized-once"):
            raise LayerError(
                f"a batch of shape {bottom[0].shape} overruns the buffers, made for {pairs} pair(s), {entries} entries",
                "declare the largest batch in the net",
            )


def per_pair(bottom: Sequence[Blob], index: int) -> NDArray[np.int64]:
    """The integers that a bottom has for the pairs. Raises `LayerError` where they are fewer than the pairs."""
    flags = bottom[index].integers().ravel()
    if flags.size < bottom[0].num:
        raise LayerError(f"{flags.size} similarities for {bottom[0].num} pairs", "give one per pair")
    return flags[: bottom[0].num]
