"""Log (``src/caffe/layers/log_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import affine, like, value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layers.exp import refuse_base
from refimpl.layers.neuron import NeuronLayer

__all__ = ["Log"]


class Log(NeuronLayer):
    """``y = ln(shift + scale x) / ln(base)``; ``dy/dx = scale / (ln(base) (shift + scale x))`` from the live bottom.

    A ``base`` of -1 stands for e. The derivative ends where the argument is 0.
    """

    type = "Log"
    overwrites_gradient = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        base = self.param.log_param.base
        refuse_base(base)
        if base == 1:
            raise LayerError("there is no logarithm to the base 1", "use another base, or -1 for e")

    def value(self, x: Any) -> Any:
        logarithm = np.log(self._argument(x))
        return logarithm if self.param.log_param.base == -1 else logarithm * self._inverse(x)

    def slope(self, x: Any, y: Any) -> Any:
        param = self.param.log_param
        rate = like(x, param.scale)
        return (rate if param.base == -1 else rate * self._inverse(x)) / self._argument(x)

    def _argument(self, x: Any) -> Any:
        return affine(x, self.param.log_param.scale, self.param.log_param.shift)

    def _inverse(self, x: Any) -> Any:
        """``1 / ln(base)``."""
        return 1.0 / np.log(like(x, self.param.log_param.base))

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        scale = self.param.log_param.scale
        return [None if scale == 0 else np.absolute(self._argument(value_of(bottom[0].wide)) / scale)]
