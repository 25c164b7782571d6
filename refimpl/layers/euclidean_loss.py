"""EuclideanLoss: half the mean squared distance of two batches (``src/caffe/layers/euclidean_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.arithmetic import exact_sum, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer

__all__ = ["EuclideanLoss"]


class EuclideanLoss(LossLayer):
    """``L = sum_i (a_i - b_i)^2 / (2 N)`` with N the first dimension.

    Bottoms a and b: as many entries per sample, shapes may differ otherwise; at most 4 axes. Either or both take a
    gradient: ``dL/da = w (a - b) / N`` and ``dL/db = -dL/da``, w the top's diff; a - b is kept from forward to
    backward. No kinks. ``loss_param`` has no effect.
    """

    type = "EuclideanLoss"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.difference = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count_between(1) != bottom[1].count_between(1):
            raise LayerError(
                f"the inputs {bottom[0].shape} and {bottom[1].shape} differ in entries per sample",
                "both bottoms need the same dimension",
            )
        self.difference.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)
        self.difference.data[...] = difference
        top[0].data[...] = exact_sum(difference * difference) / (2 * bottom[0].num)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        difference = self.difference.wide
        for blob, wanted, direction in zip(bottom, propagate_down, (difference, -difference), strict=True):
            if wanted:
                blob.diff[...] = weighted(direction, top[0].wide_diff / blob.num).reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True
