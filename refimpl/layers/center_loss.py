"""CenterLoss: features are drawn to a learnt centre of their class (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, sign, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.filler import initialised
from refimpl.form import Form
from refimpl.layer import LossLayer, pick_label, refuse_labels_outside
from refimpl.messages import FillerParameter
from refimpl.quirk import Departure
from refimpl.schema import Message, MessageClass, int32, message, string, uint32

__all__ = ["CenterLoss", "DistanceCenterLoss"]

_C1 = "troyliu0105/caffe@63708b33 src/caffe/layers/center_loss_layer.cpp"
_C2 = "happynear/caffe-windows@967eedf2 src/caffe/layers/center_loss_layer.cpp"


class CenterLossParameter(Message):
    num_output: int = uint32()
    center_filler: FillerParameter = message(FillerParameter)
    axis: int = int32(1)


class DistanceCenterLossParameter(CenterLossParameter):
    distance_type: str = string("L2")


class CenterLoss(LossLayer):
    """``L = sum_i ||x_i - c_{y_i}||^2 / (2 N)``, c the learnt centres, of shape (num_output, K), N the batch.

    Bottom x of shape (N, ...), K the product of its dimensions from ``axis`` on, and y, (N,) or further dimensions 1:
    truncated labels. ``dL/dx = w (x - c_y) / N``, w the top's diff; y takes no gradient. The diff of centre j takes in
    addition ``sum_{y_i = j} (c_j - x_i) / (1 + n_j)``, n_j the number of its samples: an update and not a derivative,
    whatever w. The weight is 0 where none is given, and no top is made where none is named. No kinks.
    """

    type = "CenterLoss"
    exact_tops = None
    min_tops = 1
    automatic_tops = False
    implicit_weight = False
    messages: ClassVar[Mapping[str, MessageClass]] = {"center_loss_param": CenterLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("C1", _C1, {"per sample": False}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "center-update",
            "the centres learn",
            "a centre's diff is the update of the paper, sum (c - x) / (1 + n), without the loss's weight and its 1/N "
            "(form C2: as often as the centre has samples); the derivative is w sum (c - x) / N",
            f"{_C1} Backward_cpu; {_C2}:113-119",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.own["center_loss_param"]
        length = bottom[0].count_between(bottom[0].canonical_axis(param.axis))
        self.blobs = [initialised(self.context.blob(param.num_output, length), param.center_filler)]
        self.param_propagate_down = [True]
        self.difference = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if (bottom[1].channels, bottom[1].height, bottom[1].width) != (1, 1, 1):
            raise LayerError(f"the labels have the shape {bottom[1].shape}", "one per sample: (N,) or (N, 1, 1, 1)")
        super().reshape(bottom, top)
        length = self.blobs[0].shape[1]
        if bottom[0].count < bottom[0].num * length:
            raise LayerError(
                f"{bottom[0].num} samples of shape {bottom[0].shape} have fewer than the centres' {length} features",
                "the features cannot change after set-up",
            )
        self.difference.reshape(bottom[0].num, length)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = self._features(bottom[0].wide) - self.blobs[0].wide[self._labels(bottom)]
        self.difference.data[...] = difference
        top[0].data[...] = exact_sum(self._costs(difference)) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        slope = self._slope(self.difference.wide)
        if self.param_propagate_down[0]:
            centres = self.blobs[0]
            centres.diff[...] = centres.wide_diff + self._update(slope, self._labels(bottom), top[0].wide_diff)
        if propagate_down[0]:
            gradient = weighted(self._sent_down(slope), top[0].wide_diff / bottom[0].num)
            self._features(bottom[0].diff)[...] = gradient
        self.refuse_label_gradient(propagate_down)

    def _features(self, x: Any) -> Any:
        """The first N K entries, row by row: further ones, which there are with an ``axis`` beyond 1, are not read."""
        return x.reshape(-1)[: self.difference.count].reshape(self.difference.shape)

    def _costs(self, difference: Any) -> Any:
        """What each feature costs."""
        return difference * difference / 2

    def _slope(self, difference: Any) -> Any:
        """The derivative of a feature's cost."""
        return difference

    def _sent_down(self, slope: Any) -> Any:
        return slope

    def _update(self, slope: Any, labels: NDArray[np.int64], weight: Any) -> Any:
        """What the centres' diffs take in addition."""
        member = pick_label(labels, self.blobs[0].shape[0], 0)
        pull = exact_sum(-np.expand_dims(member, 2) * np.expand_dims(slope, 0), 1)
        samples = np.expand_dims(member.sum(1), 1)
        if self.dialect.derivative("center-update"):
            return pull * (weight / len(labels))
        return pull * (samples if self.form.switches["per sample"] else 1.0) / (samples + 1.0)

    def _labels(self, bottom: Sequence[Blob]) -> NDArray[np.int64]:
        labels = bottom[1].integers().ravel()
        refuse_labels_outside(labels, self.blobs[0].shape[0])
        return labels


class DistanceCenterLoss(CenterLoss):
    """CenterLoss by ``distance_type``: L2, or L1 with ``L = sum_i |x_i - c_{y_i}| / N`` and the sign for a slope.

    The centres' diff takes its sum for each sample anew, n_j times in all. Kinks (L1): x = c.
    """

    messages: ClassVar[Mapping[str, MessageClass]] = {"center_loss_param": DistanceCenterLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("C2", _C2, {"per sample": True}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "C2-center-raw-distance",
            "distance_type L1, and the centres do not learn",
            "the gradient is the raw distance, not its sign",
            f"{_C2} Backward_cpu (the sign is taken inside `if param_propagate_down`)",
        ),
        Departure(
            "C2-center-nan-slope",
            "a difference is NaN, with distance_type L1",
            "the slope of a difference that is NaN is 0; the derivative is NaN",
            f"{_C2} Backward_cpu (caffe_cpu_sign)",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.distance = self.own["center_loss_param"].distance_type

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if self.distance not in ("L1", "L2"):
            raise LayerError(f"distance_type {self.distance!r} is none", "use L1 or L2")
        super().forward(bottom, top)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        if self.distance == "L2":
            return [None, None]
        distance = np.full(bottom[0].shape, np.inf)
        centres = value_of(self.blobs[0].wide)[self._labels(bottom)]
        self._features(distance)[...] = np.absolute(self._features(value_of(bottom[0].wide)) - centres)
        return [distance, None]

    def _costs(self, difference: Any) -> Any:
        return super()._costs(difference) if self.distance == "L2" else magnitude(difference)

    def _slope(self, difference: Any) -> Any:
        if self.distance == "L2":
            return difference
        missing = np.isnan(difference)
        if missing.any() and not self.dialect.derivative("C2-center-nan-slope"):
            return np.where(missing, 0.0, sign(difference))
        return sign(difference)

    def _sent_down(self, slope: Any) -> Any:
        if self.distance == "L1" and not self.param_propagate_down[0]:
            return slope if self.dialect.derivative("C2-center-raw-distance") else self.difference.wide
        return slope
