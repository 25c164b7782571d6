"""ReLU (``src/caffe/layers/relu_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import step, value_of
from refimpl.blob import Blob
from refimpl.layers.neuron import NeuronLayer

__all__ = ["ReLU"]


class ReLU(NeuronLayer):
    """``y = max(x, 0) + s min(x, 0)`` with s the ``negative_slope``; ``dy/dx = 1`` where x > 0, else s.

    Kink at 0, where Caffe takes s; its gradient at NaN is 0.
    """

    type = "ReLU"
    v1_type = "RELU"

    def value(self, x: Any) -> Any:
        return np.maximum(x, 0.0) + self.param.relu_param.negative_slope * np.minimum(x, 0.0)

    def slope(self, x: Any, y: Any) -> Any:
        below = np.where(np.isnan(x), 0.0, self.param.relu_param.negative_slope)
        return below + (1.0 - below) * step(x)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [np.absolute(value_of(bottom[0].wide))]
