"""Bias: adds a learnt or given blob along some axes (``src/caffe/layers/bias_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.filler import initialised
from refimpl.layer import Layer
from refimpl.layers.axes import Span, covered_shape

__all__ = ["Bias"]


class Bias(Layer):
    """``y = x + b``, b broadcast from ``axis`` on: the second bottom, or a learnt blob over ``num_axes`` axes of the
    first.

    ``dx = dy``; ``db`` is dy summed over the axes that b does not cover: written into a second bottom, added to a
    parameter. May run in place. No kinks.
    """

    type = "Bias"
    min_bottoms = 1
    max_bottoms = 2
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.bias_param
        if len(bottom) == 1:
            shape = covered_shape(bottom[0], param.axis, param.num_axes)
            self.blobs = [initialised(self.context.blob(*shape), param.filler)]
            self.param_propagate_down = [True]

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.span = Span.matching([*bottom, *self.blobs][1], bottom[0], self.param.bias_param.axis)
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].data[...] = bottom[0].wide + self.span.spread([*bottom, *self.blobs][1].wide)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        bias = [*bottom, *self.blobs][1]
        gradient = self.span.total(top[0].wide_diff)
        if len(bottom) == 1 and self.param_propagate_down[0]:
            bias.diff[...] = bias.wide_diff + gradient
        elif len(bottom) == 2 and propagate_down[1]:
            bias.diff[...] = gradient
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].wide_diff
