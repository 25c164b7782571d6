"""SigmoidCrossEntropyLoss: cross entropy of sigmoids (``src/caffe/layers/sigmoidcross_entropy_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import covering, exact_sum, magnitude, sigmoid, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer
from refimpl.layers.normalisation import Normalisation

__all__ = ["SigmoidCrossEntropyLoss", "cross_entropy"]


class SigmoidCrossEntropyLoss(LossLayer):
    """``L = sum (log(1 + exp(-|x|)) - x (t - [x >= 0])) / Z`` over the counted entries: -t log s - (1 - t) log(1 - s).

    Bottoms: logits x and targets t of one count and first dimension; t is any number. ``dL/dx = w (s - t) / Z`` at
    counted entries and 0 elsewhere, s the sigmoid of x, w the top's diff. ``loss_param``: ignore_label (compared with
    the truncated target), normalization (default BATCH_SIZE: the first dimension). No kinks. An infinite logit gives
    NaN, with a finite gradient.
    """

    type = "SigmoidCrossEntropyLoss"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.normalisation = Normalisation.of(self.param.loss_param, "BATCH_SIZE")
        self.sigmoid = self.context.blob()
        self.divisor = 0.0

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            raise LayerError(
                f"logits {bottom[0].shape} and targets {bottom[1].shape} differ in count", "one target per logit"
            )
        self.sigmoid.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        x, t = bottom[0].wide, bottom[1].wide.reshape(bottom[0].shape)
        counted = self._counted(bottom)
        self.sigmoid.data[...] = sigmoid(x)
        self.divisor = self.normalisation.divisor(bottom[0].shape[0], counted)
        top[0].data[...] = exact_sum(np.where(counted, cross_entropy(x, t), 0.0)) / self.divisor

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        if self.divisor == 0:
            raise LayerError("the normaliser is not known before the first forward", "run forward first")
        t = bottom[1].wide.reshape(bottom[0].shape)
        gradient = weighted(self.sigmoid.wide - t, top[0].wide_diff / self.divisor)
        bottom[0].diff[...] = np.where(self._counted(bottom), gradient, 0.0)

    def _counted(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        return self.normalisation.counted(bottom[1].integers().reshape(bottom[0].shape))


def cross_entropy(x: Any, t: Any) -> Any:
    """The loss of each entry; the bound holds for max(x, 0) - x t in place of -x (t - [x >= 0]), too."""
    exponent = np.where(np.isfinite(x), -magnitude(x), np.nan)  # Caffe's x - 2 x [x >= 0] is inf - inf at infinity
    tail = np.log1p(np.exp(exponent))
    return covering(tail - x * (t - np.where(x >= 0, 1.0, 0.0)), tail + (np.maximum(x, 0.0) - x * t))
