"""L1Loss: the absolute distance of two batches, in NVIDIA's and in FlowNet's meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, rounded, sign, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.quirk import Departure
from refimpl.schema import Message, MessageClass, boolean, floating

__all__ = ["FlowNetL1Loss", "FlowNetL1LossOnCpu", "L1Loss"]

_FLOWNET = "lmb-freiburg/flownet2@476d4008 src/caffe/layers/l1loss_layer.cu"


class L1LossParameter(Message):
    l2_per_location: bool = boolean(False)
    l2_prescale_by_channels: bool = boolean(False)
    normalize_by_num_entries: bool = boolean(False)
    epsilon: float = floating(1e-2)
    plateau: float = floating(0)


class L1Loss(LossLayer):
    """``L = sum_i |x_i - t_i| / N`` with N the first dimension.

    Bottoms x and t: as many entries per sample, shapes may differ otherwise; at most 4 axes. Either or both take a
    gradient: ``dL/dx = w sign(x - t) / N`` and ``dL/dt = -dL/dx``, w the top's diff; the sign of 0 is 0. Kinks: x = t.
    ``loss_param`` has no effect. NaN costs NaN, and its slope is 0 (a departure).
    """

    type = "L1Loss"
    forms = (Form("nvidia", "NVIDIA/caffe@87a25543 src/caffe/layers/l1_loss_layer.cpp"),)
    departures = (
        Departure(
            "nvidia-l1-nan-slope",
            "a difference is NaN",
            "the slope of a difference that is NaN is 0; the derivative is NaN",
            "troyliu0105/caffe@63708b33 src/caffe/layers/l1_loss_layer.cpp Backward_cpu (caffe_cpu_sign)",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.difference = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count_between(1) != bottom[1].count_between(1):
            raise LayerError(
                f"the inputs {bottom[0].shape} and {bottom[1].shape} differ in entries per sample",
                "both bottoms need the same dimension",
            )
        self.difference.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)
        self.difference.data[...] = difference
        top[0].data[...] = exact_sum(magnitude(difference)) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        slope = self._slope(self.difference.wide)
        for blob, wanted, direction in zip(bottom, propagate_down, (slope, -slope), strict=True):
            if wanted:
                blob.diff[...] = weighted(direction, top[0].wide_diff / blob.num).reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        distance = np.absolute(value_of(bottom[0].wide) - value_of(bottom[1].wide).reshape(bottom[0].shape))
        return [distance, distance.reshape(bottom[1].shape)]

    def _slope(self, difference: Any) -> Any:
        missing = np.isnan(difference)
        if missing.any() and not self.dialect.derivative("nvidia-l1-nan-slope"):
            return np.where(missing, 0.0, sign(difference))
        return sign(difference)


class FlowNetL1Loss(LossLayer):
    """``L = sum |x - t| / Z``, or with ``l2_per_location`` ``sum sqrt(sum_c (x - t)^2 + epsilon) / Z`` over positions.

    Bottoms x and t of one shape (N, C, ...), at most 4 axes; without t, the loss of x itself. Z is N, or with
    ``normalize_by_num_entries`` the number of entries that are no NaN, over C. A difference that is NaN, or smaller
    than ``plateau``, costs nothing and has no gradient; by location, one of a length below ``plateau`` costs
    sqrt(epsilon). ``l2_prescale_by_channels`` divides the sum of squares by C. The sign of 0 is -1. Kinks: x = t, and
    the plateau's edge.
    """

    type = "L1Loss"
    exact_bottoms = None
    min_bottoms = 1
    max_bottoms = 2
    messages: ClassVar[Mapping[str, MessageClass]] = {"l1_loss_param": L1LossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("flownet-gpu", _FLOWNET),)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if len(bottom) > 1 and bottom[0].shape != bottom[1].shape:
            raise LayerError(f"the inputs {bottom[0].shape} and {bottom[1].shape} differ", "give them one shape")
        top[0].reshape()

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        if self._by_location():
            costs = np.sqrt(self._squares(bottom) + rounded(self._option("epsilon"), bottom[0].wide))
        else:
            costs = np.where(self._counted(bottom), magnitude(self._difference(bottom)), 0.0)
        top[0].data[...] = exact_sum(costs) / self._divisor(bottom)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        difference, counted = self._difference(bottom), self._counted(bottom)
        if self._by_location():
            length = np.sqrt(self._squares(bottom) + rounded(self._option("epsilon"), difference))
            slope = difference / np.expand_dims(length, 1)
            slope = slope / bottom[0].channels if self._option("l2_prescale_by_channels") else slope
        else:
            slope = np.where(value_of(difference) == 0, -1.0, sign(difference))
        gradient = np.where(counted, weighted(slope, top[0].wide_diff / self._divisor(bottom)), 0.0)
        for blob, wanted, direction in zip(bottom, propagate_down, (gradient, -gradient), strict=False):
            if wanted:
                blob.diff[...] = direction.reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        size, plateau = np.absolute(value_of(self._difference(bottom))), self._option("plateau")
        if self._by_location():
            length = np.sqrt(exact_sum(size * size, 1))
            far = np.full(length.shape, np.inf) if plateau <= 0 else np.absolute(length - plateau)
            distance = np.broadcast_to(np.expand_dims(far, 1), size.shape)
        else:
            distance = size if plateau <= 0 else np.absolute(size - plateau)
        return [distance.reshape(blob.shape) for blob in bottom]

    def _option(self, name: str) -> Any:
        return getattr(self.own["l1_loss_param"], name)

    def _by_location(self) -> bool:
        return bool(self._option("l2_per_location"))

    def _difference(self, bottom: Sequence[Blob]) -> Any:
        """x - t as (N, C, positions), 0 where it is NaN."""
        shape = (bottom[0].num, bottom[0].channels, -1)
        x = bottom[0].wide.reshape(shape)
        difference = x - bottom[1].wide.reshape(shape) if len(bottom) > 1 else x
        return np.where(np.isnan(difference), 0.0, difference)

    def _there(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        x = value_of(bottom[0].wide)
        return np.asarray(~np.isnan(x - value_of(bottom[1].wide) if len(bottom) > 1 else x))

    def _counted(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        """Which entries have a gradient."""
        difference, plateau = value_of(self._difference(bottom)), self._option("plateau")
        there = self._there(bottom).reshape(difference.shape)
        if plateau <= 0:
            return there
        if self._by_location():
            return np.asarray(there & (self._held(difference) >= plateau**2)[:, None])
        return np.asarray(there & (np.absolute(difference) >= plateau))

    def _held(self, difference: Any) -> Any:
        squares = exact_sum(difference * difference, 1)
        return squares / difference.shape[1] if self._option("l2_prescale_by_channels") else squares

    def _squares(self, bottom: Sequence[Blob]) -> Any:
        """Each position's squared length, 0 on the plateau."""
        squares, plateau = self._held(self._difference(bottom)), self._option("plateau")
        return np.where(value_of(squares) < plateau**2, 0.0, squares) if plateau > 0 else squares

    def _divisor(self, bottom: Sequence[Blob]) -> float:
        if self._option("normalize_by_num_entries"):
            return float(np.count_nonzero(self._there(bottom))) / bottom[0].channels
        return float(bottom[0].num)


class FlowNetL1LossOnCpu(FlowNetL1Loss):
    """FlowNet's L1Loss as its forks run on a CPU, for which it has no code: refused in forward."""

    forms: ClassVar[tuple[Form, ...]] = (
        Form("flownet", "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a l1loss_layer.cpp:95"),
    )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise LayerError("L1Loss has no code for the CPU here", "FlowNet's L1Loss runs on a GPU only")
