"""MultinomialLogisticLoss: cross entropy, no softmax (``src/caffe/layers/multinomial_logistic_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, floored_log, may_be_below, step, value_of
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.layer import LossLayer, pick_label, refuse_labels_outside
from refimpl.quirk import Departure

__all__ = ["MultinomialLogisticLoss"]

FLOOR = float(FLOAT.rounded(1e-20))
"""kLOG_THRESHOLD, a float."""


class MultinomialLogisticLoss(LossLayer):
    """``L = -sum_i log(max(p_i,label, 1e-20)) / N`` with N the first dimension.

    Bottom 0: N samples of any shape, flattened to classes; at most 4 axes. Bottom 1: N labels, (N,) with further
    dimensions 1. ``dL/dp = -w / (N max(p, 1e-20))`` at the label and 0 elsewhere, w the top's diff; p is read in
    backward. ``loss_param`` has no effect. Kinks: p = 1e-20 at the label. Below it, Caffe's gradient is -w / (N
    1e-20) instead of 0 (a departure).
    """

    type = "MultinomialLogisticLoss"
    departures = (
        Departure(
            "multinomial-log-floor",
            "the label's probability is below 1e-20",
            "its logarithm is held at log(1e-20), and the gradient is -1/1e-20 instead of 0",
            "src/caffe/layers/multinomial_logistic_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
    )

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if (bottom[1].channels, bottom[1].height, bottom[1].width) != (1, 1, 1):
            raise LayerError(f"the labels have shape {bottom[1].shape}", "one label per sample: (N,) or (N, 1, 1, 1)")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        p, labels = _samples(bottom)
        chosen = np.take_along_axis(p, labels[:, None], 1)
        top[0].data[...] = -exact_sum(floored_log(chosen, FLOOR)) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        p, labels = _samples(bottom)
        label = pick_label(labels, p.shape[1], 1) > 0
        gradient = np.where(label, -top[0].wide_diff / bottom[0].num / np.maximum(p, FLOOR), 0.0)
        floored = label & may_be_below(p, FLOOR)
        if floored.any() and self.dialect.derivative("multinomial-log-floor"):
            gradient = gradient * np.where(floored, step(p - FLOOR), 1.0)
        bottom[0].diff[...] = gradient.reshape(bottom[0].shape)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        p, labels = _samples(bottom)
        distance = np.where(pick_label(labels, p.shape[1], 1) > 0, np.absolute(value_of(p) - FLOOR), np.inf)
        return [distance.reshape(bottom[0].shape), None]


def _samples(bottom: Sequence[Blob]) -> tuple[Any, NDArray[np.int64]]:
    """The probabilities as (N, classes), and the N labels. Raises `LayerError` for a label that is no class."""
    p, labels = bottom[0].wide.reshape(bottom[0].num, -1), bottom[1].integers().ravel()
    refuse_labels_outside(labels, p.shape[1])
    return p, labels
