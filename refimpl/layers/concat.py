"""Concat: joins blobs along an axis (``src/caffe/layers/concat_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer
from refimpl.layers.axes import legacy_axis

__all__ = ["Concat"]


class Concat(Layer):
    """The top is the bottoms one after another along ``axis``; their other dimensions agree.

    A single bottom shares its data and diff with the top. No kinks.
    """

    type = "Concat"
    min_bottoms = 1
    exact_tops = 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.axis = legacy_axis(self.param.concat_param, "concat_dim", bottom[0])
        for i, blob in enumerate(bottom):
            if self._frame(blob) != self._frame(bottom[0]):
                raise LayerError(
                    f"bottom {i} of shape {blob.shape} does not fit bottom 0 of {bottom[0].shape} on axis {self.axis}",
                    "the bottoms need the same shape on every other axis",
                )
        before, after = self._frame(bottom[0])
        top[0].reshape(*before, sum(blob.shape[self.axis] for blob in bottom), *after)
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _frame(self, blob: Blob) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return blob.shape[: self.axis], blob.shape[self.axis + 1 :]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if len(bottom) > 1:
            top[0].data[...] = np.concatenate([blob.wide for blob in bottom], axis=self.axis)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if len(bottom) == 1:
            return
        ends = list(accumulate(blob.shape[self.axis] for blob in bottom))
        pieces = np.split(top[0].wide_diff, ends[:-1], axis=self.axis)
        for blob, wanted, piece in zip(bottom, propagate_down, pieces, strict=True):
            if wanted:
                blob.diff[...] = piece
