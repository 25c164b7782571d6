"""ELU (``src/caffe/layers/elu_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import step, value_of
from refimpl.blob import Blob
from refimpl.layers.neuron import NeuronLayer

__all__ = ["ELU"]


class ELU(NeuronLayer):
    """``y = x`` where x > 0, else ``alpha (e^x - 1)``; ``dy/dx = 1`` where x > 0, else ``alpha + y`` from the live top.

    Kink at 0 unless alpha is 1; Caffe takes alpha there.
    """

    type = "ELU"

    def value(self, x: Any) -> Any:
        return np.where(x > 0, x, self.param.elu_param.alpha * np.expm1(np.minimum(x, 0.0)))

    def slope(self, x: Any, y: Any) -> Any:
        # Caffe masks by multiplication, so an infinite y gives NaN.
        left = self.param.elu_param.alpha + np.where(x > 0, 0.0 * y, y)
        return left + step(x) * (1.0 - left)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [None if self.param.elu_param.alpha == 1 else np.absolute(value_of(bottom[0].wide))]
