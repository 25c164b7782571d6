"""EuclideanLoss: half the mean squared distance of two batches (``src/caffe/layers/euclidean_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refimpl.arithmetic import exact_sum
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer

__all__ = ["EuclideanLoss"]


class EuclideanLoss(LossLayer):
    """``L = sum_i (a_i - b_i)^2 / (2 N)`` with N the first dimension.

    Bottoms a and b: as many entries per sample, shapes may differ otherwise; at most 4 axes. Either or both take a gradient:
    ``dL/da = w (a - b) / N`` and ``dL/db = -dL/da``, w the top's diff. No kinks. ``loss_param`` has no effect.
    """

    type = "EuclideanLoss"

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count_between(1) != bottom[1].count_between(1):
            raise LayerError(
                f"the inputs {bottom[0].shape} and {bottom[1].shape} differ in entries per sample",
                "both bottoms need the same dimension",
            )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        self.difference = _difference(bottom)
        top[0].data[...] = exact_sum(self.difference * self.difference) / (2 * bottom[0].num)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        gradient = top[0].wide_diff * self.difference / bottom[0].num
        for blob, wanted, gradient in zip(bottom, propagate_down, (gradient, -gradient), strict=True):
            if wanted:
                blob.diff[...] = gradient.reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True


def _difference(bottom: Sequence[Blob]) -> Any:
    """a - b in the shape of a; a copy, since backward uses what forward saw."""
    return bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)
