"""AbsVal (``src/caffe/layers/absval_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import magnitude, sign, value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layers.neuron import NeuronLayer

__all__ = ["AbsVal"]


class AbsVal(NeuronLayer):
    """``y = |x|``; ``dy/dx = sign(x)``, 0 at the kink x = 0 and at NaN. Not in place."""

    type = "AbsVal"
    v1_type = "ABSVAL"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] is bottom[0]:
            raise LayerError("AbsVal cannot run in place", "give its top another name than its bottom")

    def value(self, x: Any) -> Any:
        return magnitude(x)

    def slope(self, x: Any, y: Any) -> Any:
        return np.where(np.isnan(x), 0.0, sign(x))

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [np.absolute(value_of(bottom[0].wide))]
