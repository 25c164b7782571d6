"""SoftmaxWithLoss: the cross entropy of a softmax with labels (``src/caffe/layers/softmax_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import covering, exact_sum, may_be_below, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.layer import pick_label
from refimpl.layers.logits_loss import LogitsLoss
from refimpl.layers.softmax import log_softmax, softmax_gradient
from refimpl.quirk import LOSS_TUTORIAL, Departure, Quirk

__all__ = ["FLOOR", "LOG_FLOOR", "SoftmaxWithLoss"]

FLOOR = FLOAT.smallest_normal
"""FLT_MIN, in double nets as well."""
LOG_FLOOR = "softmax-log-floor"


class SoftmaxWithLoss(LogitsLoss):
    """``L = -sum log(max(p_label, FLT_MIN)) / Z`` over the counted positions, p the softmax (``softmax_param.axis``).

    Shapes as in `LogitsLoss`. ``dL/dx_i = w (p_i - [i = label]) / Z`` at counted positions and 0 elsewhere, w the
    top's diff; the diff d of a second top adds ``p_i (d_i - sum_j d_j p_j)``. ``loss_param``: ignore_label,
    normalization (default VALID).

    Kinks: where a label's probability is FLT_MIN. Below it, Caffe's gradient stays that of the uncapped loss (a
    departure).
    """

    type = "SoftmaxWithLoss"
    v1_type = "SOFTMAX_LOSS"
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "softmax-inner-loss-weights",
            "SoftmaxWithLoss with two tops and two weights is refused: its inner Softmax inherits both weights and "
            "has one top",
            "the second top is the softmax and may carry a weight",
            f"src/caffe/layers/softmax_loss_layer.cpp LayerSetUp; {LOSS_TUTORIAL}",
            number=2,
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            LOG_FLOOR,
            "the label's probability is below FLT_MIN",
            "the loss is capped at -log(FLT_MIN) there, and the gradient is that of the uncapped loss",
            "src/caffe/layers/softmax_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
    )

    def softmax_axis(self) -> int:
        return self.param.softmax_param.axis

    def check_fields(self, tops: int) -> None:
        super().check_fields(tops)
        weights = len(self.param.loss_weight)
        if weights == tops == 2 and self.dialect.takes("softmax-inner-loss-weights"):
            raise LayerError(
                "the softmax inside SoftmaxWithLoss inherits two loss_weights and has one top",
                "use one top, or a Softmax layer beside the loss",
            )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        labels, counted = self.read_labels(bottom)
        probability = self.keep_softmax(bottom, top)
        logarithm = np.take_along_axis(
            log_softmax(bottom[0].wide, self.axis, FLOOR, probability), self.along_classes(labels), self.axis
        )
        losses = self.weighed(-np.squeeze(logarithm, self.axis), labels, bottom)
        top[0].data[...] = exact_sum(np.where(counted, losses, 0.0)) / self.divisor(counted)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        labels, counted = self.read_labels(bottom)
        p = self.probability.wide
        label = pick_label(labels, p.shape[self.axis], self.axis)
        scale = self.weighed(top[0].wide_diff / self.divisor(counted), labels, bottom)
        scale = self.along_classes(scale) if scale.ndim else scale
        gradient = np.where(
            self.along_classes(counted), covering(weighted(p - label, scale), weighted(p, scale) - label * scale), 0.0
        )
        of_label = np.take_along_axis(p, self.along_classes(labels), self.axis)
        capped = may_be_below(of_label, FLOOR) & self.along_classes(counted)
        if capped.any() and self.dialect.derivative(LOG_FLOOR):
            gradient = gradient * np.where(capped, step(of_label - FLOOR), 1.0)
        if self.second_top_asks(top):
            gradient = gradient + softmax_gradient(p, top[1].wide_diff, self.axis)
        bottom[0].diff[...] = gradient

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        """What each position has, times its weight: 1 here."""
        return each

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """A logarithm moves by no more than any one of its logits does."""
        labels, counted = self.read_labels(bottom)
        logarithms = log_softmax(value_of(bottom[0].wide), self.axis, FLOOR * FLOOR)
        margin = np.absolute(np.take_along_axis(logarithms, self.along_classes(labels), self.axis) - np.log(FLOOR))
        distance = np.where(self.along_classes(counted), margin, np.inf)
        return [np.broadcast_to(distance, bottom[0].shape), None]
