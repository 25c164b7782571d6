"""EuclideanLoss with a third bottom, a weight for every entry (not in BVLC Caffe)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.arithmetic import exact_sum, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.euclidean_loss import EuclideanLoss
from refimpl.quirk import Departure

__all__ = ["WeightedEuclideanLoss"]

_HAPPYNEAR = "happynear/caffe-windows@967eedf2 src/caffe/layers/euclidean_loss_layer.cpp"
_MSRCCS = "MSRCCS/Caffe@2eb05997 src/caffe/layers/euclidean_loss_layer.cpp"


class WeightedEuclideanLoss(EuclideanLoss):
    """EuclideanLoss of weighted differences, ``m`` the third bottom, 1 where there is none; N the first dimension.

    happynear: ``L = sum_i (m_i (a_i - b_i))^2 / (2 N)``, MSRCCS: ``sum_i m_i (a_i - b_i)^2 / (2 N)``; the gradient of
    both is ``dL/da = w m (a - b) / N = -dL/db``, w the top's diff, which lacks a factor of m in the former (a
    departure). m has as many entries as a and takes no gradient. No kinks.
    """

    exact_bottoms = None
    min_bottoms = 2
    max_bottoms = 3
    forms = (
        Form("happynear", _HAPPYNEAR, {"weight squared": True}),
        Form("MSRCCS", _MSRCCS, {"weight squared": False}),
    )
    departures = (
        Departure(
            "happynear-euclidean-weight-missing",
            "a weight is neither 0 nor 1",
            "the loss has the weight's square, the gradient the weight",
            f"{_HAPPYNEAR} Forward_cpu, Backward_cpu",
        ),
    )

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if len(bottom) == 3 and bottom[2].count != bottom[0].count:
            raise LayerError(
                f"weights of shape {bottom[2].shape} for differences of shape {bottom[0].shape}", "one for each entry"
            )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)
        weighed = difference if len(bottom) == 2 else difference * self._weights(bottom)
        self.difference.data[...] = weighed
        other = weighed if self.form.switches["weight squared"] else difference
        top[0].data[...] = exact_sum(weighed * other) / (2 * bottom[0].num)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        difference = self.difference.wide
        if len(bottom) == 3 and self._departs(bottom):
            difference = difference * self._weights(bottom)
        for blob, wanted, direction in zip(bottom[:2], propagate_down, (difference, -difference), strict=False):
            if wanted:
                blob.diff[...] = weighted(direction, top[0].wide_diff / blob.num).reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def _weights(self, bottom: Sequence[Blob]) -> Any:
        return bottom[2].wide.reshape(bottom[0].shape)

    def _departs(self, bottom: Sequence[Blob]) -> bool:
        """Whether the derivative is asked for, where it is another."""
        weights = value_of(bottom[2].wide)
        differs = self.form.switches["weight squared"] and bool(np.any((weights != 0) & (weights != 1)))
        return differs and self.dialect.derivative("happynear-euclidean-weight-missing")
