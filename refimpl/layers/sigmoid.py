"""Sigmoid (``src/caffe/layers/sigmoid_layer.cpp``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.arithmetic import covering, sigmoid
from refimpl.layers.neuron import NeuronLayer

__all__ = ["Sigmoid"]


class Sigmoid(NeuronLayer):
    """``y = 1 / (1 + e^-x)``; ``dy/dx = y (1 - y)`` from the live top. No kinks.

    Caffe evaluates it as ``tanh(x / 2) / 2 + 1/2``, which is exactly 0 far to the left; the bound admits the other
    way too.
    """

    type = "Sigmoid"

    def value(self, x: Any) -> Any:
        return covering(0.5 * np.tanh(0.5 * x) + 0.5, sigmoid(x))

    def slope(self, x: Any, y: Any) -> Any:
        return y * (1.0 - y)
