"""Power (``src/caffe/layers/power_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import affine, like, value_of
from refimpl.blob import Blob
from refimpl.layers.neuron import NeuronLayer
from refimpl.quirk import Quirk

__all__ = ["Power"]


class Power(NeuronLayer):
    """``y = (shift + scale x)^power``; ``dy/dx = power scale (shift + scale x)^(power - 1)``.

    The last factor is computed as ``y / (shift + scale x)`` from the live top, except for the powers 0, 1 and 2.
    Where that quotient is not the derivative (0/0 where the base is 0), the quirk ``power-gradient-through-quotient``
    decides. Kinks: a base of 0, unless the power is a natural number.
    """

    type = "Power"
    overwrites_gradient = True
    quirks = (
        Quirk(
            "power-gradient-through-quotient",
            "Power with an exponent other than 0, 1 and 2 computes its gradient as top / base: NaN where the base is 0",
            "the gradient of base^p at a base of 0 is the derivative",
            "src/caffe/layers/power_layer.cpp Backward_cpu",
            number=17,
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.power_param
        self.power, self.scale, self.shift = param.power, param.scale, param.shift

    @property
    def _constant(self) -> bool:
        return self.power * self.scale == 0

    def value(self, x: Any) -> Any:
        if self._constant:
            return self._raised(like(x, self.shift), self.power)
        base = affine(x, self.scale, self.shift)
        return base if self.power == 1 else self._raised(base, self.power)

    def slope(self, x: Any, y: Any) -> Any:
        factor = like(x, self.power) * self.scale
        if self.power == 1:
            return factor
        if self.power == 2:
            linear = factor * self.scale * x
            return linear if self.shift == 0 else linear + factor * self.shift
        return factor * self._lowered(affine(x, self.scale, self.shift), y)

    @staticmethod
    def _raised(base: Any, exponent: float) -> Any:
        """``base^exponent`` as C has it: numpy takes a square root for the number 0.5, which differs at -inf."""
        return np.power(base, np.full(base.shape, exponent))

    def _lowered(self, base: Any, y: Any) -> Any:
        """``base^(power - 1)``, as a quotient."""
        quotient = y / base
        lowered = self._raised(base, self.power - 1)
        astray = ~np.isfinite(quotient) & (quotient != lowered) & ~np.isnan(lowered) | (quotient == 0) & (lowered != 0)
        if astray.any() and not self.dialect.takes("power-gradient-through-quotient"):
            quotient = np.where(astray, lowered, quotient)
        return quotient

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not self._constant:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            bottom[0].diff[...] = 0.0

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        if self._constant or (self.power > 0 and self.power == int(self.power)):
            return [None]
        return [np.absolute(affine(value_of(bottom[0].wide), self.scale, self.shift) / self.scale)]
