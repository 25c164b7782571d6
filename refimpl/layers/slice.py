"""Slice: cuts a blob along an axis (``src/caffe/layers/slice_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer
from refimpl.layers.axes import legacy_axis

__all__ = ["Slice"]


class Slice(Layer):
    """Tops are consecutive pieces of the bottom along ``axis``: cut at every ``slice_point``, or equal without any.

    A single top shares the bottom's data and diff. No kinks.
    """

    type = "Slice"
    exact_bottoms = 1
    min_tops = 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shape = bottom[0].shape
        self.axis = legacy_axis(self.param.slice_param, "slice_dim", bottom[0])
        self.cuts = self._cuts(shape[self.axis], len(top))
        for blob, (start, end) in zip(top, pairwise(self.cuts), strict=True):
            blob.reshape(*shape[: self.axis], end - start, *shape[self.axis + 1 :])
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _cuts(self, size: int, tops: int) -> list[int]:
        """Where the pieces begin and end: 0, the cuts between, size."""
        points = self.param.slice_param.slice_point
        if not points:
            if size % tops:
                raise LayerError(
                    f"{tops} tops do not evenly divide an axis of {size}", "give slice_point, or another number of tops"
                )
            return [i * (size // tops) for i in range(tops + 1)]
        if len(points) != tops - 1:
            raise LayerError(f"{len(points)} slice_point(s) for {tops} top(s)", "give one slice_point fewer than tops")
        cuts = [0, *points, size]
        if any(end <= start for start, end in pairwise(cuts)):
            raise LayerError(
                f"slice points {list(points)} do not cut an axis of {size} into {tops} pieces",
                "they must increase inside it",
            )
        return cuts

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if len(top) > 1:
            for blob, piece in zip(top, np.split(bottom[0].wide, self.cuts[1:-1], axis=self.axis), strict=True):
                blob.data[...] = piece

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0] and len(top) > 1:
            bottom[0].diff[...] = np.concatenate([blob.wide_diff for blob in top], axis=self.axis)
