"""Silence: consumes blobs and does nothing with them (``src/caffe/layers/silence_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.layer import Layer

__all__ = ["Silence"]


class Silence(Layer):
    """No tops; the gradient into every bottom is 0."""

    type = "Silence"
    min_bottoms = 1
    exact_tops = 0

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """There are no tops to shape."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """There is nothing to compute."""

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.diff[...] = 0.0
