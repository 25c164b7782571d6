"""BNLL (``src/caffe/layers/bnll_layer.cpp``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.arithmetic import magnitude
from refimpl.layers.neuron import NeuronLayer

__all__ = ["BNLL"]


class BNLL(NeuronLayer):
    """``y = log(1 + e^x)``; ``dy/dx = e^x / (e^x + 1)`` from the live bottom, with x held at 50. No kinks."""

    type = "BNLL"
    v1_type = "BNLL"

    def value(self, x: Any) -> Any:
        return np.maximum(x, 0.0) + np.log1p(np.exp(-magnitude(x)))

    def slope(self, x: Any, y: Any) -> Any:
        power = np.exp(np.minimum(x, 50.0))
        return power / (power + 1.0)
