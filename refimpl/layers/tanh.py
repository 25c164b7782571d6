"""TanH (``src/caffe/layers/tanh_layer.cpp``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.layers.neuron import NeuronLayer

__all__ = ["TanH"]


class TanH(NeuronLayer):
    """``y = tanh(x)``; ``dy/dx = 1 - y^2`` from the live top. No kinks."""

    type = "TanH"
    v1_type = "TANH"

    def value(self, x: Any) -> Any:
        return np.tanh(x)

    def slope(self, x: Any, y: Any) -> Any:
        return 1.0 - y * y
