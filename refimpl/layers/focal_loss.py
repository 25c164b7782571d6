"""FocalLoss: a cross entropy that weighs down what is certain; one type name, and what many forks mean by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import covering, exact_sum, may_be_below, weighted
from refimpl.blob import Blob
from refimpl.form import Form
from refimpl.layer import pick_label
from refimpl.layers.softmax import log_softmax, softmax, softmax_gradient
from refimpl.layers.softmax_with_loss import FLOOR, LOG_FLOOR, SoftmaxWithLoss
from refimpl.quirk import Departure
from refimpl.running_error import Approx
from refimpl.schema import Message, enum, floating, int32

__all__ = ["FocalLoss", "raised"]

_F1 = "troyliu0105/caffe@63708b33 src/caffe/layers/focal_loss_layer.cpp"


def raised(x: Any, power: float) -> Any:
    """``x^power`` of numbers that are not negative, 0^0 = 1; the bound holds where the error of x exceeds x."""
    if not isinstance(x, Approx):
        return np.power(x, power)
    if power < 0:
        return -x.through(lambda value: -np.power(np.maximum(value, 0.0), power), np.power)
    return x.through(lambda value: np.power(np.where(value < 0, 0.0, value), power), np.power)


class FocalParameter(Message):
    """``focal_loss_param`` of chuanqi305/FocalLoss and its copies."""

    activate: str = enum("SOFTMAX", NONE=0, SIGMOID=1, SOFTMAX=2)
    axis: int = int32(1)
    alpha: float = floating(0.25)
    gamma: float = floating(2)


class FocalLoss(SoftmaxWithLoss):
    """``L = -sum alpha (1 - p)^gamma log(max(p, FLT_MIN)) / Z`` over the counted positions, p the label's softmax.

    Shapes, axis, labels and Z as in SoftmaxWithLoss. ``dL/dx_j = w alpha G (p_j - [j = label]) / Z`` with
    ``G = (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p``. The softmax runs along ``softmax_param.axis``, the
    classes of the labels along ``focal_loss_param.axis``.

    Where p rounds to 1 and gamma is below 1, the gradient is NaN, as 0 times an infinity (a departure).
    """

    type = "FocalLoss"
    v1_type = ""
    messages: ClassVar = {"focal_loss_param": FocalParameter}
    forms = (Form("F1", _F1),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "focal-certain",
            "the label's probability rounds to 1, and gamma is below 1",
            "the gradient of the other classes is NaN, infinity times 0; the derivative is 0",
            f"{_F1} Backward_cpu",
        ),
    )
    quirks = ()

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        given = self.own["focal_loss_param"]
        self.alpha, self.gamma = float(given.alpha), float(given.gamma)

    def softmax_axis(self) -> int:
        return int(self.own["focal_loss_param"].axis)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        self.inner_axis = bottom[0].canonical_axis(self.param.softmax_param.axis)

    def keep_softmax(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        probability = softmax(bottom[0].wide, self.inner_axis)
        for blob in (self.probability, *top[1:]):
            blob.data[...] = probability

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        labels, counted = self.read_labels(bottom)
        self.keep_softmax(bottom, top)
        p, logarithm = self._of_label(bottom, labels)
        losses = np.where(counted, -(self.weight(labels) * self.power(self.rest(p)) * logarithm), 0.0)
        top[0].data[...] = exact_sum(losses) / self.divisor(counted)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        labels, counted = self.read_labels(bottom)
        p, logarithm = self._of_label(bottom, labels)
        hot = pick_label(labels, bottom[0].shape[self.axis], self.axis)
        gradient = self.gradient(self.probability.wide, hot, *(self.along_classes(x) for x in (p, logarithm)))
        scaled = weighted(gradient * self.along_classes(self.weight(labels)), top[0].wide_diff / self.divisor(counted))
        gradient = np.where(self.along_classes(counted), scaled, 0.0)
        if self.second_top_asks(top):
            gradient = gradient + softmax_gradient(self.probability.wide, top[1].wide_diff, self.axis)
        bottom[0].diff[...] = gradient

    def weight(self, labels: NDArray[np.int64]) -> Any:
        """alpha, for each position."""
        return np.full(labels.shape, self.alpha)

    def rest(self, p: Any) -> Any:
        """What is raised to the power of gamma."""
        return 1.0 - p

    def power(self, rest: Any) -> Any:
        """``rest^gamma``."""
        return raised(rest, self.gamma)

    def gradient(self, probability: Any, hot: NDArray[np.float64], p: Any, logarithm: Any) -> Any:
        """The gradient for alpha 1, w 1 and Z 1: of the label and of the other classes as the code has them."""
        rest, gamma = self.rest(p), self.gamma
        of_rest = raised(rest, gamma)
        certain = (gamma < 1) & (rest == 0)
        nowhere = certain.any() and not self.dialect.derivative("focal-certain")
        rest = np.where(certain, 1.0, rest)
        less = raised(rest, gamma - 1.0)
        capped = self._capped(p)
        own = of_rest * (gamma * p * logarithm + np.where(capped, 0.0, p - 1.0))
        others = less * (-gamma * logarithm * p * probability) + of_rest * np.where(capped, 0.0, probability)
        others = np.where(certain & nowhere, np.nan, others)
        return np.where(hot > 0, covering(own, others), others)

    def _capped(self, p: Any) -> NDArray[np.bool_]:
        """Where the logarithm is flat, and the derivative is asked for."""
        below = may_be_below(p, FLOOR)
        return below if below.any() and self.dialect.derivative(LOG_FLOOR) else np.zeros_like(below)

    def _of_label(self, bottom: Sequence[Blob], labels: NDArray[np.int64]) -> tuple[Any, Any]:
        """The label's probability and its logarithm, for each position."""
        index = self.along_classes(labels)
        logarithms = log_softmax(bottom[0].wide, self.inner_axis, FLOOR)
        p, log_p = (
            np.squeeze(np.take_along_axis(x, index, self.axis), self.axis) for x in (self.probability.wide, logarithms)
        )
        return p, log_p
