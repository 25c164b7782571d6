"""LabelSpecificAdd: a margin on the score of the label, below a SoftmaxWithLoss (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import like, value_of
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
    k counting forwards from ``iteration`` on. A head: what it feeds carries the loss, its own weight is 0.
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
        self.bias: Any = param.bias
        self.iteration: int = param.iteration
        self.anneals = param.has("bias_base")
        self.apart: NDArray[np.float64] | None = None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])
        if len(top) > 1:
            top[1].reshape(1)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if bottom[0].count == 0:
            raise LayerError(f"an empty batch (scores of shape {bottom[0].shape})", "give at least one sample")
        scores = bottom[0].wide
        if not self._adds():
            self.apart = None
            top[0].data[...] = scores
            return
        if self.anneals:
            self._anneal(like(scores.reshape(-1)[:1], 1.0))
        label = self._label(bottom)
        self.apart = np.where(label, np.absolute(value_of(scores) + value_of(self.bias)), np.inf)
        top[0].data[...] = self._moved(scores, label)
        if len(top) > 1:
            top[1].data[...] = self.bias

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].diff[...] = top[0].wide_diff

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """The distance to the jump that the scores had in the last forward: in place they are no longer there."""
        return [self.apart, None]

    def _adds(self) -> bool:
        return self.context.phase != "TEST"

    def _moved(self, scores: Any, label: NDArray[np.bool_]) -> Any:
        above = value_of(scores) > -value_of(self.bias)
        return np.where(label & above, scores + self.bias, scores)

    def _anneal(self, one: Any) -> None:
        least, most = self._limits()
        annealed = self.own["label_specific_add_param"].bias_base + self._grown(one)
        self.bias = np.minimum(np.maximum(annealed, least), most)
        self.iteration += 1

    def _grown(self, one: Any) -> Any:
        """By how much the bias has grown, ``one`` being 1 in the arithmetic of the scores."""
        param = self.own["label_specific_add_param"]
        return (one + param.bias_gamma * self.iteration) ** param.bias_power - 1

    def _limits(self) -> tuple[float, float]:
        param = self.own["label_specific_add_param"]
        return param.bias_min, param.bias_max

    def _label(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        """Where each sample's label is, in the shape of the scores."""
        samples = bottom[0].num
        classes = bottom[0].count // samples
        labels = bottom[1].integers().ravel()[:samples]
        if labels.size < samples:
            raise LayerError(f"{labels.size} label(s) for {samples} samples", "give one per sample")
        refuse_labels_outside(labels, classes)
        return pick_label(labels, classes, 1).reshape(bottom[0].shape) > 0
