"""Exp (``src/caffe/layers/exp_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.arithmetic import like, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layers.neuron import NeuronLayer

__all__ = ["Exp", "refuse_base"]


class Exp(NeuronLayer):
    """``y = base^(shift + scale x) = base^shift e^(scale ln(base) x)``; ``dy/dx = scale ln(base) y`` from the live top.

    A ``base`` of -1 stands for e. No kinks.
    """

    type = "Exp"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        refuse_base(self.param.exp_param.base)

    def value(self, x: Any) -> Any:
        param = self.param.exp_param
        rate = self._rate(x)
        power = np.exp(x if rate is None else weighted(x, rate))
        if param.shift == 0:
            return power
        outer = np.exp(like(x, param.shift)) if param.base == -1 else np.power(like(x, param.base), param.shift)
        return power * outer

    def slope(self, x: Any, y: Any) -> Any:
        rate = self._rate(x)
        return y if rate is None else weighted(y, rate)

    def _rate(self, x: Any) -> Any:
        """``scale ln(base)``; None where it is 1."""
        base, scale = self.param.exp_param.base, self.param.exp_param.scale
        if base == -1:
            return None if scale == 1 else like(x, scale)
        return np.log(like(x, base)) * scale


def refuse_base(base: float) -> None:
    """A base is positive and finite, or -1 for e (Exp and Log). Raises `LayerError`."""
    if base != -1 and not 0 < base < np.inf:
        raise LayerError(f"base {base} is not a positive number", "use a positive base, or -1 for e")
