"""LabelSpecificAdd: a margin on the score of the label, below a SoftmaxWithLoss (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import Layer, pick_label, refuse_labels_outside
from refimpl.schema import Message, MessageClass, boolean, floating, int32

__all__ = ["LabelSpecificAdd"]


class LabelSpecificAddParameter(Message):
    bias: float = floating(0)
    transform_test: bool = boolean(False)
    bias_base: float = floating(1)
    bias_gamma: float = floating(0)
    bias_power: float = floating(1)
    bias_min: float = floating(0)
    bias_max: float = floating(0)
    iteration: int = int32(0)


class LabelSpecificAdd(Layer):
    """``z = x``, and ``z = x + bias`` at each sample's label where x is above -bias (AM-softmax, CosFace).

    Bottoms: x of shape (N, ...), flattened to classes, at most 4 axes, and labels, N at least, truncated. Top 0 is z,
    of x's shape, and may be x itself; a second top, of shape (1,), is the bias. ``dE/dx`` is the top's diff as it is.
    In phase TEST z is x, whatever ``transform_test`` says. Jumps: x = -bias, at the label.

    With ``bias_base``, the bias is ``bias_base + (1 + bias_gamma k)^bias_power - 1``, clamped to [bias_min, bias_max],
    k counting forwards from ``iteration`` on. A head: what is below it carries the loss, its own weight is 0.
    """

    type = "LabelSpecificAdd"
    exact_bottoms = 2
    min_tops = 1
    max_tops = 2
    messages: ClassVar[Mapping[str, MessageClass]] = {"label_specific_add_param": LabelSpecificAddParameter}
    forms: ClassVar[tuple[Form, ...]] = (
        Form("happynear", "happynear/caffe-windows@967eedf2 src/caffe/layers/label_specific_add_layer.cpp"),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.own["label_specific_add_param"]
        self.bias: float = param.bias
        self.iteration: int = param.iteration
        self.anneals = param.has("bias_base")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])
        if len(top) > 1:
            top[1].reshape(1)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if bottom[0].count == 0:
            raise LayerError(f"an empty batch (scores of shape {bottom[0].shape})", "give at least one sample")
        scores = bottom[0].wide
        if self.context.phase == "TEST":
            top[0].data[...] = scores
            return
        if self.anneals:
            self._anneal()
        label = self._label(bottom)
        above = value_of(scores) > -self.bias
        top[0].data[...] = np.where(label & above, scores + self.bias, scores)
        if len(top) > 1:
            top[1].data[...] = self.bias

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].diff[...] = top[0].wide_diff

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """The distance to the jump."""
        distance = np.absolute(value_of(bottom[0].wide) + self.bias)
        return [np.where(self._label(bottom), distance, np.inf), None]

    def _anneal(self) -> None:
        param = self.own["label_specific_add_param"]
        grown = (1 + param.bias_gamma * self.iteration) ** param.bias_power
        self.bias = min(max(param.bias_base + grown - 1, param.bias_min), param.bias_max)
        self.iteration += 1

    def _label(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        """Where each sample's label is, in the shape of the scores."""
        samples = bottom[0].num
        classes = bottom[0].count // samples
        labels = bottom[1].integers().ravel()[:samples]
        if labels.size < samples:
            raise LayerError(f"{labels.size} label(s) for {samples} samples", "give one per sample")
        refuse_labels_outside(labels, classes)
        return pick_label(labels, classes, 1).reshape(bottom[0].shape) > 0
