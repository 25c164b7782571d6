"""Split: one blob for several consumers (``src/caffe/layers/split_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.arithmetic import exact_sum
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["Split"]


class Split(Layer):
    """Tops that share the bottom's data and have diffs of their own; the bottom's diff is the sum of theirs. No
    kinks.
    """

    type = "Split"
    exact_bottoms = 1
    min_tops = 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob in top:
            if blob is bottom[0]:
                raise LayerError("Split cannot run in place", "give its tops other names than its bottom")
            blob.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob in top:
            blob.share_data(bottom[0])

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = exact_sum(np.stack([blob.wide_diff for blob in top]), axis=0)
