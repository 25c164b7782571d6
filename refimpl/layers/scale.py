"""Scale: multiplies by a learnt or given blob along some axes (``src/caffe/layers/scale_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.filler import initialised
from refimpl.layer import Layer
from refimpl.layers.axes import Span, covered_shape
from refimpl.messages import FillerParameter
from refimpl.quirk import Quirk

__all__ = ["Scale"]


class Scale(Layer):
    """``y = x s + b``, s broadcast from ``axis`` on: the second bottom, or a learnt blob (1 unless filled) over
    ``num_axes`` axes of the first; b, with ``bias_term``, is learnt and covers the same axes.

    ``dx = dy s``; ``ds`` is dy x and ``db`` is dy, summed over the axes that s does not cover: written into a second
    bottom, added to a parameter. May run in place. No kinks. Quirks: ``scale-scratch``,
    ``scale-overwrites-parameter-diff``.
    """

    type = "Scale"
    min_bottoms = 1
    max_bottoms = 2
    exact_tops = 1
    overwritten: Any = None
    quirks = (
        Quirk(
            "scale-scratch",
            "Scale leaves a product in the diff of a bottom that gets no gradient",
            "a diff nobody asked for is left alone",
            "src/caffe/layers/scale_layer.cpp Backward_cpu",
            number=19,
        ),
        Quirk(
            "scale-overwrites-parameter-diff",
            "Scale overwrites its parameter's diff where the bottom has a single entry before the parameter's axes "
            "(but for a parameter of one entry that stands for several)",
            "parameter diffs accumulate until they are cleared",
            "src/caffe/layers/scale_layer.cpp Backward_cpu; include/caffe/net.hpp ClearParamDiffs",
            number=20,
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.scale_param
        num_axes = param.num_axes if len(bottom) == 1 else bottom[1].num_axes
        self.blobs = [
            initialised(self.context.blob(*covered_shape(bottom[0], param.axis, num_axes)), filler)
            for filler, wanted in (
                (param.filler if param.has("filler") else FillerParameter(value=1.0), len(bottom) == 1),
                (param.bias_filler, param.bias_term),
            )
            if wanted
        ]
        self.param_propagate_down = [True] * len(self.blobs)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        axis = self.param.scale_param.axis
        self.span = Span.matching([*bottom, *self.blobs][1], bottom[0], axis)
        if self.param.scale_param.bias_term:
            Span.matching(self.blobs[-1], bottom[0], axis)  # a second bottom may follow a batch that the bias does not
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x = bottom[0].wide
        self.overwritten = x.copy() if top[0] is bottom[0] else None
        y = x * self.span.spread([*bottom, *self.blobs][1].wide)
        top[0].data[...] = y + self.span.spread(self.blobs[-1].wide) if self.param.scale_param.bias_term else y

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        top_diff = top[0].wide_diff
        if self.param.scale_param.bias_term and self.param_propagate_down[-1]:
            self.blobs[-1].diff[...] = self.blobs[-1].wide_diff + self.span.total(top_diff)
        factor = [*bottom, *self.blobs][1]
        learnt = len(bottom) == 1
        if self.param_propagate_down[0] if learnt else propagate_down[1]:
            product = top_diff * (bottom[0].wide if self.overwritten is None else self.overwritten)
            self._write_factor_diff(factor, self.span.total(product), bottom[0] if learnt else None)
            if not propagate_down[0]:
                self._leave_scratch(product, factor, bottom[0])
        if propagate_down[0]:
            bottom[0].diff[...] = top_diff * self.span.spread(factor.wide)

    def _write_factor_diff(self, factor: Blob, gradient: Any, scaled: Blob | None) -> None:
        """A parameter's gradient, that of the factor of ``scaled``, is added to its diff, except where Caffe computes
        it in the diff itself."""
        accumulate = scaled is not None
        if scaled is not None and (value_of(factor.wide_diff) != 0).any():
            alone = scaled.count_between(0, self.span.start) == 1
            if factor.count == scaled.count or (alone and factor.count > 1):
                accumulate = not self.dialect.takes("scale-overwrites-parameter-diff")
        factor.diff[...] = factor.wide_diff + gradient if accumulate else gradient

    def _leave_scratch(self, product: Any, factor: Blob, bottom: Blob) -> None:
        elsewhere = self.overwritten is not None or factor.count == bottom.count
        if not elsewhere and self.dialect.takes("scale-scratch"):
            bottom.diff[...] = product
