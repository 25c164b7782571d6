"""WingLoss: logarithmic near 0, absolute beyond (no layer of BVLC Caffe's; read, not measured)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, like, magnitude, may_be_below, rounded, sign, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.quirk import Departure
from refimpl.schema import Message, MessageClass, floating

__all__ = ["WingLoss"]

_XIALUXI = "xialuxi/arcface-caffe@7cbe27c0 landmark_and_pose/wing_loss_layer.cpp"
_WQVBJHC = "wqvbjhc/caffe-ssd@df6d9fdc src/caffe/layers/wing_loss_layer.cpp"


class WingLossParameter(Message):
    w: float = floating(10)
    epsilon: float = floating(2)


class WingLoss(LossLayer):
    """``L = sum_i f(x_i - t_i) / N``, f(d) = w ln(1 + |d| / e) where |d| < w, else |d| - w + w ln(1 + w / e).

    Bottoms x and t of one count and first dimension N; at most 4 axes. ``dL/dx = v f'(d) / N``, v the top's diff,
    f'(d) = sign(d) w / (|d| + e) or sign(d), e the ``epsilon``; the sign of 0 is 0, in the form xialuxi -1. t
    takes none, even where it is asked for one (a departure). The weight is 0 where none is given. Kinks: d = 0 and
    |d| = w.
    """

    type = "WingLoss"
    implicit_weight = False
    messages: ClassVar[Mapping[str, MessageClass]] = {"wing_loss_param": WingLossParameter}
    forms = (
        Form("xialuxi", _XIALUXI, {"sign of 0": -1.0}),
        Form("wqvbjhc", _WQVBJHC, {"sign of 0": 0.0}),
    )
    departures = (
        Departure(
            "wing-target-missing",
            "the target takes a gradient",
            "nothing is written into the target's diff",
            f"{_XIALUXI} Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.own["wing_loss_param"]
        self.width: float = param.w
        self.epsilon: float = param.epsilon
        self.difference = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            raise LayerError(
                f"predictions {bottom[0].shape} and targets {bottom[1].shape} differ in count", "one target for each"
            )
        self.difference.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = bottom[0].wide - bottom[1].wide.reshape(bottom[0].shape)
        self.difference.data[...] = difference
        size = magnitude(difference)
        width = like(size, self.width)
        near = width * np.log1p(size / rounded(self.epsilon, size))
        far = size - (width - width * np.log1p(width / rounded(self.epsilon, size)))
        top[0].data[...] = exact_sum(np.where(self._near(size), near, far)) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        difference = self.difference.wide
        size, direction = magnitude(difference), sign(difference)
        direction = np.where(value_of(difference) == 0, self._at_zero(direction), direction)
        curved = direction * self.width / (size + rounded(self.epsilon, size))
        slope = np.where(self._near(size), curved, direction)
        either = may_be_below(size, self.width) & may_be_below(-size, -self.width)
        if either.any():  # the slope jumps at |d| = w
            inside = step(like(size, self.width) - size)
            slope = np.where(either, direction + (curved - direction) * inside, slope)
        gradient = weighted(slope, top[0].wide_diff / bottom[0].num)
        if propagate_down[0]:
            bottom[0].diff[...] = gradient
        if propagate_down[1] and self.dialect.derivative("wing-target-missing"):
            bottom[1].diff[...] = -gradient.reshape(bottom[1].shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        size = np.absolute(value_of(bottom[0].wide) - value_of(bottom[1].wide).reshape(bottom[0].shape))
        distance = np.minimum(size, np.absolute(size - self.width))
        return [distance, distance.reshape(bottom[1].shape)]

    def _near(self, size: Any) -> NDArray[np.bool_]:
        return np.asarray(value_of(size) < self.width)

    def _at_zero(self, direction: Any) -> Any:
        """The sign of 0; whatever the kink allows, where that is asked for."""
        chosen = self.form.switches["sign of 0"]
        return np.where(value_of(direction) == 0, chosen, direction) if chosen else direction
