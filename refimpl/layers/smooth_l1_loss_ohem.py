"""SmoothL1LossOHEM: R-FCN's smooth L1 with the errors of each position beside it, for online hard example mining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.pre_fixed import PreFixedLossParameter, PreFixedNormalisation
from refimpl.layers.smooth_l1 import UnchainedSmoothL1, product
from refimpl.quirk import Departure

__all__ = ["SmoothL1LossOHEM"]

_CPP = "intel/caffe@44d53638 src/caffe/layers/smooth_L1_loss_ohem_layer.cpp"
SECOND_TOP = "smooth-l1-ohem-second-top"


class SmoothL1LossOHEM(UnchainedSmoothL1):
    """``L = sum f(w_in (x - t)) / Z`` with sigma 1, Z the normaliser of ``loss_param``; VALID is every position.

    2 or 3 bottoms: x, t and weights. Top 1, if asked for, is the sum of a position's errors over the channels, of
    shape (N, 1, H, W). Without loss_weight the loss weighs 0. The mining itself is another layer's
    (BoxAnnotatorOHEM): nothing here is random.

    The slope lacks the weight, and a second top sends nothing down (departures). The normaliser is that of forward.
    """

    type = "SmoothL1LossOHEM"
    max_bottoms = 3
    messages: ClassVar = {"loss_param": PreFixedLossParameter}
    forms = (Form("intel", _CPP, {"bottoms": (2, 3), "inside": 2, "forgets": True, "tops": 2}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "intel-smooth-l1-weight-missing",
            "a weight is neither 0 nor 1",
            "the differences are weighted before f is taken of them, and the slope lacks the factor of the weight",
            f"{_CPP} Backward_cpu; rbgirshick/fast-rcnn#134",
        ),
        Departure(
            SECOND_TOP,
            "the second top's diff is not 0",
            "the errors of the positions send no gradient down",
            f"{_CPP} Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.normalisation = PreFixedNormalisation.of(self.own["loss_param"], "VALID")
        self.divisor = 0.0

    def loss_divisor(self, bottom: Sequence[Blob]) -> Any:
        positions = np.ones(bottom[0].num * bottom[0].height * bottom[0].width, bool)
        self.divisor = self.normalisation.divisor(bottom[0].num, positions)
        return self.divisor

    def gradient_divisor(self, bottom: Sequence[Blob], which: int) -> Any:
        if self.divisor == 0:
            raise LayerError("the normaliser is not known before the first forward", "run forward first")
        return self.divisor

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        super().backward(top, propagate_down, bottom)
        if len(top) == 1 or not np.any(value_of(top[1].diff)) or not self.dialect.derivative(SECOND_TOP):
            return
        slope = product(self.inside(bottom), self.slope(self.difference.wide))
        shape = (bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width)
        of_position = (slope.reshape(shape) * top[1].wide_diff).reshape(bottom[0].shape)
        for i, direction in zip(range(2), (of_position, -of_position), strict=True):
            if propagate_down[i]:
                bottom[i].diff[...] = bottom[i].wide_diff + direction.reshape(bottom[i].shape)
