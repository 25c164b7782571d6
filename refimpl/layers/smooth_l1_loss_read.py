"""SmoothL1Loss in the forks that compute it on the GPU only: read in their sources, not measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from refimpl.arithmetic import exact_sum, magnitude, rounded, sign, step, value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.pre_fixed import PreFixedLossParameter, PreFixedNormalisation
from refimpl.layers.smooth_l1 import SigmaParameter, UnchainedSmoothL1, sigma_squared
from refimpl.quirk import Departure
from refimpl.schema import Message, floating

__all__ = [
    "CaffeMexSmoothL1Loss",
    "DeepcutSmoothL1Loss",
    "GirshickSmoothL1Loss",
    "HappynearSmoothL1Loss",
    "RfcnSmoothL1Loss",
]

_RFCN = "daijifeng001/caffe-rfcn@543f8f6a src/caffe/layers/smooth_L1_loss_layer.cu"
_CAFFEMEX = "sciencefans/CaffeMex_v2@9bab8d2a src/caffe/layers/smooth_L1_loss_layer"
_DEEPCUT = "eldar/deepcut-cnn@928bf2f2 src/caffe/layers/smooth_L1_loss_layer.cu"
_HAPPYNEAR = "happynear/caffe-windows@967eedf2 src/caffe/layers/smooth_L1_loss_layer.cu"
_FLOATING = "a weight is neither 0 nor 1"
_MISSED = "the differences are weighted before f is taken of them, and the slope lacks the factor of the weight"
_LEAST_SAMPLES = 100
_EPSILON = 1e-6


class TurnPointParameter(Message):
    """``smoothl1_param`` of happynear/caffe-windows."""

    turn_point: float = floating(1)


class GirshickSmoothL1Loss(UnchainedSmoothL1):
    """2 or 4 bottoms and ``sigma``; the gradient is the derivative."""

    type = "SmoothL1Loss"
    messages: ClassVar = {"smooth_l1_loss_param": SigmaParameter}
    forms = (
        Form(
            "girshick",
            "rbgirshick/caffe-fast-rcnn branch faster-rcnn src/caffe/layers/smooth_L1_loss_layer.cu",
            {"bottoms": (2, 4), "inside": 2, "outside": 3},
        ),
        Form(
            "cascade",
            "zhaoweicai/cascade-rcnn@2252f461 src/caffe/layers/smooth_L1_loss_layer.cu:51-55",
            {"bottoms": (2, 4), "inside": 2, "outside": 3, "tops": 2},
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.squared_sigma = sigma_squared(self.own["smooth_l1_loss_param"].sigma)


class RfcnSmoothL1Loss(UnchainedSmoothL1):
    """2 or 3 bottoms; divided as ``loss_param`` says, where VALID counts all positions. The slope lacks the weight."""

    type = "SmoothL1Loss"
    messages: ClassVar = {"loss_param": PreFixedLossParameter}
    forms = (Form("rfcn", _RFCN, {"bottoms": (2, 3), "inside": 2, "forgets": True, "tops": 2}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure("rfcn-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_RFCN}; rbgirshick/fast-rcnn#134"),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.normalisation = PreFixedNormalisation.of(self.own["loss_param"], "VALID")

    def loss_divisor(self, bottom: Sequence[Blob]) -> Any:
        positions = np.ones(bottom[0].num * bottom[0].height * bottom[0].width, bool)
        return self.normalisation.divisor(bottom[0].num, positions)

    def gradient_divisor(self, bottom: Sequence[Blob], which: int) -> Any:
        return self.loss_divisor(bottom)


class CaffeMexSmoothL1Loss(RfcnSmoothL1Loss):
    """With weights the loss is divided by V = sum |w| / N plus 1e-6, and the gradient as ``loss_param`` says, where
    VALID is N V: another number. With less than 1 of weight the bottoms' diffs stay as they were."""

    forms = (Form("caffemex", f"{_CAFFEMEX}.cu:82-85", {"bottoms": (2, 3), "inside": 2, "forgets": True, "tops": 2}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure("caffemex-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_CAFFEMEX}.cu:118"),
        Departure(
            "caffemex-smooth-l1-divisors",
            "there are weights",
            "the loss is divided by the weight of an item, the gradient by loss_param's normaliser",
            f"{_CAFFEMEX}.cu:82, {_CAFFEMEX}.cpp:52",
        ),
    )

    def loss_divisor(self, bottom: Sequence[Blob]) -> Any:
        weights = self.inside(bottom)
        if weights is None:
            return self._normaliser(bottom) + rounded(_EPSILON, bottom[0].wide)
        return exact_sum(magnitude(weights)) / bottom[0].num + rounded(_EPSILON, weights)

    def gradient_divisor(self, bottom: Sequence[Blob], which: int) -> Any:
        if len(bottom) > 2 and self.dialect.derivative("caffemex-smooth-l1-divisors"):
            return self.loss_divisor(bottom)
        return self._normaliser(bottom)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if len(bottom) == 2 or exact_sum(magnitude(self.inside(bottom))) >= 1:
            super().backward(top, propagate_down, bottom)

    def _normaliser(self, bottom: Sequence[Blob]) -> Any:
        if self.normalisation.mode != "VALID":
            return super().loss_divisor(bottom)
        if len(bottom) == 2:
            raise LayerError("VALID counts weights, and there are none", "give weights or another normalization")
        return np.maximum(exact_sum(magnitude(self.inside(bottom))), 1.0)


class HappynearSmoothL1Loss(UnchainedSmoothL1):
    """``v^2 / 2`` where |v| < turn_point, else ``|v| - turn_point + turn_point^2 / 2``: the slope jumps to 1 at the
    knees, unless turn_point is 1. The slope lacks the weight."""

    type = "SmoothL1Loss"
    messages: ClassVar = {"smoothl1_param": TurnPointParameter}
    forms = (Form("happynear", f"{_HAPPYNEAR}:19-60", {"bottoms": (2, 3), "inside": 2, "forgets": True}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure("happynear-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_HAPPYNEAR}:60"),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.turn_point = float(self.own["smoothl1_param"].turn_point)

    @property
    def knee(self) -> float:
        return self.turn_point

    def value(self, v: Any) -> Any:
        size, knee = magnitude(v), self.turn_point
        return np.where(size < knee, 0.5 * v * v, size - knee + 0.5 * knee * knee)

    def slope(self, v: Any) -> Any:
        beyond = step(magnitude(v) - self.turn_point)
        return v * (1.0 - beyond) + sign(v) * beyond if self.turn_point != 1 else super().slope(v)


class DeepcutSmoothL1Loss(UnchainedSmoothL1):
    """3 bottoms; the loss is divided by the whole part of sum |w|, the gradient by that or 100, whichever is more.
    Without weight the top stays as it was. The slope lacks the weight."""

    type = "SmoothL1Loss"
    forms = (Form("deepcut", f"{_DEEPCUT}:47-83", {"bottoms": (3,), "inside": 2, "forgets": True}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure("deepcut-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_DEEPCUT}:75"),
        Departure(
            "deepcut-smooth-l1-few-samples",
            f"the weights' sum is less than {_LEAST_SAMPLES}",
            f"the gradient is divided by {_LEAST_SAMPLES}, the loss by the sum",
            f"{_DEEPCUT}:83",
        ),
    )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        held = top[0].data.copy()
        super().forward(bottom, top)
        if self._samples(bottom) == 0:
            top[0].data[...] = held

    def loss_divisor(self, bottom: Sequence[Blob]) -> Any:
        return float(max(1, self._samples(bottom)))

    def gradient_divisor(self, bottom: Sequence[Blob], which: int) -> Any:
        few = self._samples(bottom) < _LEAST_SAMPLES
        if few and self.dialect.derivative("deepcut-smooth-l1-few-samples"):
            return self.loss_divisor(bottom)
        return float(max(_LEAST_SAMPLES, self._samples(bottom)))

    def _samples(self, bottom: Sequence[Blob]) -> int:
        weights = self.inside(bottom)
        return int(exact_sum(np.absolute(value_of(weights))))
