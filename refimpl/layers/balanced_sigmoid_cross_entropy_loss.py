"""SigmoidCrossEntropyLoss that balances edges and background of each image (not in BVLC Caffe)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, like, rounded, sigmoid, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.quirk import Departure

__all__ = ["BalancedSigmoidCrossEntropyLoss"]

_HED = "s9xie/hed@912632b9 src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp"
_RCF = "yun-liu/RCF@fc9e0f9f src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp"


class BalancedSigmoidCrossEntropyLoss(LossLayer):
    """``L = sum_i (Q_i / (P_i + Q_i) ce of the ones + b P_i / (P_i + Q_i) ce of the zeros) / N``, i over the images.

    Bottoms x and t of one count and first dimension N; P_i and Q_i count the targets of image i that are 1 and 0, ce
    = -t log s - (1 - t) log(1 - s), s the sigmoid of x; b is the form's ``background``: 1, in RCF 1.1. Other targets
    cost nothing. ``dL/dx = w m (s - t) / N``, w the top's diff, m the factor of the entry's ce; at other targets 0,
    in HED ``w (s - t) / N`` (a departure). An image without ones and zeros makes the loss NaN. ``loss_param`` has no
    effect. No kinks.
    """

    type = "SigmoidCrossEntropyLoss"
    forms = (
        Form("hed", _HED, {"background": 1.0, "other slope": 1.0}),
        Form("rcf", _RCF, {"background": 1.1, "other slope": 0.0}),
    )
    departures = (
        Departure(
            "hed-other-target-slope",
            "a target is neither 0 nor 1",
            "it costs nothing, and has the gradient of the plain cross entropy",
            f"{_HED} Forward_cpu, Backward_cpu",
        ),
        Departure(
            "balanced-empty-image",
            "an image has targets, none of them 0 or 1",
            "the loss is NaN (0/0), and the gradient is that of other targets",
            f"{_HED} Forward_cpu; {_RCF} Forward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.sigmoid = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            raise LayerError(
                f"logits {bottom[0].shape} and targets {bottom[1].shape} differ in count", "one target per logit"
            )
        self.sigmoid.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        x, t = _images(bottom[0], bottom), _images(bottom[1], bottom)
        self.sigmoid.data[...] = sigmoid(bottom[0].wide)
        costs = cross_entropy(x, t)
        ones, zeros = self._shares(x, t)
        losses = ones * exact_sum(np.where(_is(t, 1), costs, 0.0), 1)
        losses = losses + zeros * exact_sum(np.where(_is(t, 0), costs, 0.0), 1)
        top[0].data[...] = exact_sum(losses) / bottom[0].shape[0]

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        t = _images(bottom[1], bottom)
        slope = _images(self.sigmoid, bottom) - t
        ones, zeros = (np.expand_dims(share, 1) for share in self._shares(slope, t))
        other = self._other_slope(t)
        gradient = np.where(_is(t, 1), ones * slope, np.where(_is(t, 0), zeros * slope, np.where(other, slope, 0.0)))
        empty = ~(_is(t, 1) | _is(t, 0)).any(1, keepdims=True)
        if empty.any() and self.dialect.derivative("balanced-empty-image"):
            gradient = np.where(empty, np.nan, gradient)
        bottom[0].diff[...] = weighted(gradient, top[0].wide_diff / bottom[0].shape[0]).reshape(bottom[0].shape)

    def _shares(self, x: Any, t: Any) -> tuple[Any, Any]:
        """The factors of each image's ones and zeros, in the arithmetic of x."""
        positive, negative = (like(x[:, 0], _is(t, value).sum(1)) for value in (1, 0))
        counted = positive + negative
        background = self.form.switches["background"]
        return negative / counted, (1.0 if background == 1 else rounded(background, x)) * positive / counted

    def _other_slope(self, t: Any) -> NDArray[np.bool_]:
        """Where a target that is no 0 and no 1 has the plain gradient."""
        plain = bool(self.form.switches["other slope"])
        others = ~(_is(t, 1) | _is(t, 0))
        if not others.any() or not plain:
            return np.zeros_like(others)
        return others & (not self.dialect.derivative("hed-other-target-slope"))


def _images(blob: Blob, bottom: Sequence[Blob]) -> Any:
    return blob.wide.reshape(bottom[0].shape[0], -1)


def _is(t: Any, value: float) -> NDArray[np.bool_]:
    return np.asarray(value_of(t) == value)
