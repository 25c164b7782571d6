"""NeuronLayer: one bottom, one top of its shape, entry by entry (``src/caffe/layers/neuron_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.quirk import Quirk

__all__ = ["NeuronLayer"]


class NeuronLayer(Layer):
    """``y = value(x)`` and ``dx = dy * slope(x, y)``; subclasses give the two formulas.

    Out of place ``slope`` sees the live data of bottom and top. In place the bottom holds y by then: Caffe takes it
    for x, harmlessly where the formula reads y only, or only a sign that x and y share; elsewhere the quirk
    ``in-place-input-lost`` decides. Layers that set ``overwrites_gradient`` compute the slope in the diff that in
    place holds dy, and square it.
    """

    exact_bottoms = 1
    exact_tops = 1
    overwrites_gradient: ClassVar[bool] = False
    lost: Any = None
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "in-place-input-lost",
            "a layer that runs in place takes its output for its input in backward: wrong for Power, Log, BNLL, a "
            "ReLU with a negative slope and an ELU with a negative alpha; Power and Log also overwrite the top's "
            "gradient before they multiply by it",
            "the gradient is the same in place and out of place",
            "src/caffe/layers/power_layer.cpp, log_layer.cpp, bnll_layer.cpp, relu_layer.cpp, elu_layer.cpp "
            "Backward_cpu",
            number=16,
        ),
    )

    def value(self, x: Any) -> Any:
        raise NotImplementedError(self.type)

    def slope(self, x: Any, y: Any) -> Any:
        raise NotImplementedError(self.type)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x = bottom[0].wide
        self.lost = x.copy() if top[0] is bottom[0] else None
        top[0].data[...] = self.value(x)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not propagate_down[0]:
            return
        y, top_diff = top[0].wide, top[0].wide_diff
        gradient = top_diff * self.slope(bottom[0].wide if self.lost is None else self.lost, y)
        if top[0] is bottom[0]:
            mistaken = self.slope(y, y)
            mistaken = mistaken * (mistaken if self.overwrites_gradient else top_diff)
            same = np.array_equal(value_of(gradient), value_of(mistaken), equal_nan=True)
            if not same and self.dialect.takes("in-place-input-lost"):
                gradient = mistaken
        bottom[0].diff[...] = gradient
