"""Flatten: merges axes (``src/caffe/layers/flatten_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["Flatten"]


class Flatten(Layer):
    """The axes from ``axis`` to ``end_axis``, both included, become one; the data stays as it is.

    Forward shares the bottom's data with the top; the first backward shares the top's diff with the bottom. No kinks.
    """

    type = "Flatten"
    exact_bottoms = 1
    exact_tops = 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] is bottom[0]:
            raise LayerError("Flatten cannot run in place", "give its top another name than its bottom")
        param = self.param.flatten_param
        start = bottom[0].canonical_axis(param.axis)
        end = bottom[0].canonical_axis(param.end_axis) + 1
        top[0].reshape(*bottom[0].shape[:start], bottom[0].count_between(start, end), *bottom[0].shape[end:])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].share_data(bottom[0])

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        bottom[0].share_diff(top[0])
