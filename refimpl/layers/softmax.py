"""Softmax: exponentials that add up to 1 along an axis (``src/caffe/layers/softmax_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.arithmetic import covering, exact_sum, floored_log, value_of
from refimpl.blob import Blob
from refimpl.layer import Layer, pick_label

__all__ = ["Softmax", "log_softmax", "softmax", "softmax_gradient"]


def softmax(x: Any, axis: int) -> Any:
    """``exp(x_i - max x) / sum_j exp(x_j - max x)`` along ``axis``; in the shape of x."""
    powers = np.exp(x - np.take_along_axis(x, _largest(x, axis), axis))
    return powers / np.expand_dims(exact_sum(powers, axis), axis)


_RARE = -70.0
"""The logarithm of a probability that every type but the halves holds with all its digits, and of none much rarer."""


def log_softmax(x: Any, axis: int, floor: float = 0.0, known: Any = None) -> Any:
    """``log(max(softmax(x), floor))`` along ``axis``; in the shape of x.

    The value is ``x_i - max x - log1p(sum of the other exponentials)``, which stays accurate where a probability is
    near 1; the bound holds for the logarithm of the softmax, too, but, without a floor, for what no type may hold.
    ``known`` is the softmax, where that has been computed.
    """
    largest = _largest(x, axis)
    shifted = x - np.take_along_axis(x, largest, axis)
    first = pick_label(np.squeeze(largest, axis), x.shape[axis], axis) > 0
    others = exact_sum(np.where(first, shifted, np.exp(shifted)), axis)  # the largest's own shift is 0, or NaN
    accurate = shifted - np.expand_dims(np.log1p(others), axis)
    if floor:
        return covering(
            np.maximum(accurate, np.log(floor)), floored_log(softmax(x, axis) if known is None else known, floor)
        )
    kept = value_of(accurate) > _RARE
    return covering(accurate, np.where(kept, np.log(np.where(kept, softmax(x, axis), 1.0 + 0.0 * x)), accurate))


def softmax_gradient(probability: Any, diff: Any, axis: int) -> Any:
    """``p_i (d_i - sum_j d_j p_j)``: the gradient below a softmax of value p with the gradient d above it."""
    return probability * (diff - np.expand_dims(exact_sum(diff * probability, axis), axis))


def _largest(x: Any, axis: int) -> Any:
    """The index of the first largest entry along ``axis``, kept as an axis of length 1."""
    return np.expand_dims(np.argmax(value_of(x), axis), axis)


class Softmax(Layer):
    """``y_i = exp(x_i) / sum_j exp(x_j)`` along ``softmax_param.axis``; x and y of one shape.

    ``dE/dx_i = y_i (d_i - sum_j d_j y_j)``, d the top's diff. No kinks. A row with a NaN, a +inf or only -inf is NaN.
    """

    type = "Softmax"
    exact_bottoms = 1
    exact_tops = 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.axis = bottom[0].canonical_axis(self.param.softmax_param.axis)
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].data[...] = softmax(bottom[0].wide, self.axis)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = softmax_gradient(top[0].wide, top[0].wide_diff, self.axis)
