"""NeuronLayer: one bottom, one top of its shape, entry by entry (``src/caffe/layers/neuron_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refimpl.blob import Blob
from refimpl.layer import Layer

__all__ = ["NeuronLayer"]


class NeuronLayer(Layer):
    """``y = value(x)`` and ``dx = dy * slope(x, y)``; subclasses give the two formulas.

    ``slope`` sees the live data of bottom and top at backward time. Run in place, both are y, as in Caffe: exact where the
    formula reads y only, or only the sign of x.
    """

    exact_bottoms = 1
    exact_tops = 1

    def value(self, x: Any) -> Any:
        raise NotImplementedError(self.type)

    def slope(self, x: Any, y: Any) -> Any:
        raise NotImplementedError(self.type)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].data[...] = self.value(bottom[0].wide)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].wide_diff * self.slope(bottom[0].wide, top[0].wide)
