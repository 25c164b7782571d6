"""SmoothL1Loss: one type name, and what ten forks mean by it; no BVLC Caffe has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from refimpl.arithmetic import magnitude
from refimpl.blob import Blob
from refimpl.form import Form
from refimpl.layers.smooth_l1 import SigmaParameter, WeightedSmoothL1, neither, sigma_squared
from refimpl.quirk import Departure
from refimpl.schema import boolean

__all__ = ["SmoothL1Loss"]

_SYNOPSYS = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/smooth_L1_loss_layer.cpp"
_SSD = "weiliu89/caffe@4817bf8b src/caffe/layers/smooth_L1_loss_layer.cpp"
_JOLIBRAIN = "jolibrain/caffe@23928c02 src/caffe/layers/smooth_l1_loss_layer.cpp"
_FLOATING = "a weight is neither 0 nor 1"
_MISSED = "the differences are weighted before f is taken of them, and the slope lacks the factor of the weight"


class AbssumParameter(SigmaParameter):
    abssum: bool = boolean(True)


class SmoothL1Loss(WeightedSmoothL1):
    """Synopsys's: 2 to 4 bottoms (x, t, inside, outside), ``sigma`` and ``abssum``.

    With ``abssum``, the default, the sum is of absolute values, which shows where an outside weight is negative, and
    the slope lacks the inside weight.
    """

    type = "SmoothL1Loss"
    messages: ClassVar = {"smooth_l1_loss_param": AbssumParameter}
    forms = (Form("synopsys", _SYNOPSYS, {"bottoms": (2, 3, 4), "inside": 2, "outside": 3}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "synopsys-smooth-l1-weight-missing",
            f"abssum is true and {_FLOATING}",
            _MISSED,
            f"{_SYNOPSYS}:130; rbgirshick/fast-rcnn#134",
        ),
        Departure(
            "synopsys-smooth-l1-absolute-sum",
            "abssum is true and an outside weight is negative",
            "the loss is the sum of the absolute values, the gradient that of the sum",
            f"{_SYNOPSYS}:94",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.squared_sigma = sigma_squared(self.own["smooth_l1_loss_param"].sigma)
        self.absolute = self.own["smooth_l1_loss_param"].abssum

    def forgets(self, inside: Any) -> bool:
        return self.absolute and inside is not None and bool(np.any(neither(inside)))

    def summed(self, errors: Any) -> Any:
        return magnitude(errors) if self.absolute else errors

    def factor(self, bottom: Sequence[Blob]) -> Any:
        factor = super().factor(bottom)
        outside = self.outside(bottom)
        if not self.absolute or outside is None or not np.any(outside < 0):
            return factor
        return (
            np.where(outside < 0, -factor, factor)
            if self.dialect.derivative("synopsys-smooth-l1-absolute-sum")
            else factor
        )


class _SsdSmoothL1Loss(WeightedSmoothL1):
    """SSD's, without parameters: two bottoms. With the third, which SSD's own check of the counts keeps away, the
    slope lacks the weight; in yuqj1991's the weight stands outside f, and is right unless it is negative."""

    type = "SmoothL1Loss"
    forms = (
        Form("ssd", _SSD, {"bottoms": (2,)}),
        Form("ssd-three-bottoms", f"{_SSD}:20 behind the check", {"bottoms": (2, 3), "inside": 2, "forgets": True}),
        Form(
            "yuqj1991",
            "yuqj1991/caffe_train@c7247801 src/caffe/layers/smooth_L1_loss_layer.cpp:61-68",
            {"bottoms": (2, 3), "outside": 2, "absolute": True},
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "ssd-three-bottoms-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_SSD}; rbgirshick/fast-rcnn#134"
        ),
        Departure(
            "yuqj1991-smooth-l1-absolute-sum",
            "a weight is negative",
            "the loss is the sum of the absolute values, the gradient that of the sum",
            "yuqj1991/caffe_train@c7247801 src/caffe/layers/smooth_L1_loss_layer.cpp:68",
        ),
    )

    def summed(self, errors: Any) -> Any:
        return magnitude(errors) if self.form.switches.get("absolute") else errors

    def factor(self, bottom: Sequence[Blob]) -> Any:
        factor = super().factor(bottom)
        negative = self.form.switches.get("absolute") and factor is not None and bool(np.any(factor < 0))
        return magnitude(factor) if negative and self.dialect.derivative("yuqj1991-smooth-l1-absolute-sum") else factor


class _JolibrainSmoothL1Loss(WeightedSmoothL1):
    """DeepDetect's: 2 or 4 bottoms and ``sigma``. On the CPU the outside weight is not read and the slope lacks the
    inside one; batches of two sizes are not refused."""

    type = "SmoothL1Loss"
    messages: ClassVar = {"smooth_l1_loss_param": SigmaParameter}
    forms = (Form("jolibrain", _JOLIBRAIN, {"bottoms": (2, 4), "inside": 2, "forgets": True}),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure("jolibrain-smooth-l1-weight-missing", _FLOATING, _MISSED, f"{_JOLIBRAIN}:94"),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.squared_sigma = sigma_squared(self.own["smooth_l1_loss_param"].sigma)

    def refuse_batches(self, bottom: Sequence[Blob]) -> None:
        """None is refused."""
