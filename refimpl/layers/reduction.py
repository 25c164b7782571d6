"""Reduction: sums over the last axes (``src/caffe/layers/reduction_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, sign, value_of
from refimpl.blob import Blob
from refimpl.layer import Layer

__all__ = ["Reduction"]


class Reduction(Layer):
    """``y = coeff sum f(x)`` over the axes from ``axis`` on: f is x (SUM, and MEAN, divided by the number of terms),
    |x| (ASUM) or x^2 (SUMSQ).

    Top: the axes before ``axis``; shape () for axis 0. ``dx = coeff dy f'(x)`` with f' 1, sign(x) or 2 x. Kinks:
    ASUM's, at 0, where Caffe takes 0, as at NaN.
    """

    type = "Reduction"
    exact_bottoms = 1
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.operation = self.param.reduction_param.operation
        self.coeff = self.param.reduction_param.coeff

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        axis = bottom[0].canonical_axis(self.param.reduction_param.axis)
        top[0].reshape(*bottom[0].shape[:axis])
        self.terms = bottom[0].count_between(axis)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x = bottom[0].wide.reshape(top[0].count, self.terms)
        if self.operation == "ASUM":
            x = magnitude(x)
        elif self.operation == "SUMSQ":
            x = x * x
        top[0].data[...] = self._weighted(exact_sum(x, axis=1)).reshape(top[0].shape)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not propagate_down[0]:
            return
        x = bottom[0].wide.reshape(top[0].count, self.terms)
        gradient = self._weighted(top[0].wide_diff).reshape(top[0].count, 1)
        if self.operation == "ASUM":
            gradient = gradient * np.where(np.isnan(x), 0.0, sign(x))
        elif self.operation == "SUMSQ":
            gradient = 2.0 * gradient * x
        bottom[0].diff[...] = np.broadcast_to(gradient, x.shape).reshape(bottom[0].shape)

    def _weighted(self, x: Any) -> Any:
        weighted = x if self.coeff == 1 else x * self.coeff
        return weighted / self.terms if self.operation == "MEAN" else weighted

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [np.absolute(value_of(bottom[0].wide)) if self.operation == "ASUM" else None]
