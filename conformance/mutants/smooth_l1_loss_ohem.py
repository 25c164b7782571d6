"""What can be wrong in SmoothL1LossOHEM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, Alter, At, Blobs, Slip, gradient, instead, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.smooth_l1_loss_ohem import SmoothL1LossOHEM

__all__ = ["MUTANTS"]


def _of_mode(change: Callable[[str], str]) -> Alter:
    """Another normalization than the one asked for."""

    class Wrong(SmoothL1LossOHEM):
        def loss_divisor(self, bottom: Blobs) -> Any:
            own = self.normalisation
            positions = np.ones(bottom[0].num * bottom[0].height * bottom[0].width, bool)
            self.divisor = type(own)(change(own.mode), own.ignored, own.pre_fixed).divisor(bottom[0].num, positions)
            return self.divisor

    return instead(Wrong)


class _Unguarded(SmoothL1LossOHEM):
    def loss_divisor(self, bottom: Blobs) -> Any:
        super().loss_divisor(bottom)
        if self.normalisation.mode == "PRE_FIXED":
            self.divisor = self.normalisation.pre_fixed
        return self.divisor


class _OverEntries(SmoothL1LossOHEM):
    def loss_divisor(self, bottom: Blobs) -> Any:
        self.divisor = super().loss_divisor(bottom) * (bottom[0].channels if self.normalisation.mode == "FULL" else 1)
        return self.divisor


class _WeightsIgnored(SmoothL1LossOHEM):
    def inside(self, bottom: Blobs) -> Any:
        return None


class _WeightsOutside(SmoothL1LossOHEM):
    def inside(self, bottom: Blobs) -> Any:
        return None

    def outside(self, bottom: Blobs) -> Any:
        return super().inside(bottom)


class _IntegerAbs(SmoothL1LossOHEM):
    def value(self, v: Any) -> Any:
        size = np.trunc(np.absolute(v))
        return np.where(size < 1, v * v / 2, size - 0.5)


class _NotHalved(SmoothL1LossOHEM):
    def value(self, v: Any) -> Any:
        return np.where(np.absolute(v) < 1, v * v, np.absolute(v) - 0.5)


class _Straight(SmoothL1LossOHEM):
    def value(self, v: Any) -> Any:
        return np.absolute(v)


def _negative(x: Any, at: At) -> Any:
    return -x


MUTANTS = mutants_of(
    "smooth_l1_loss_ohem",
    SmoothL1LossOHEM,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "always-batch-size",
            "The divisor is the batch size, whatever normalization says.",
            "SmoothL1Loss, which does not read loss_param",
            Cause.NORMALISATION_MODE,
            _of_mode(lambda mode: "BATCH_SIZE"),
        ),
        Slip(
            "pre-fixed-is-none",
            "PRE_FIXED divides by 1.",
            "formats in which the number 3 stands for NONE, and not for PRE_FIXED",
            Cause.NORMALISATION_MODE,
            _of_mode(lambda mode: "NONE" if mode == "PRE_FIXED" else mode),
        ),
        Slip(
            "none-is-full",
            "NONE divides by all positions.",
            "classic slip",
            Cause.NORMALISATION_MODE,
            _of_mode(lambda mode: "FULL" if mode == "NONE" else mode),
        ),
        Slip(
            "pre-fixed-below-one",
            "A pre_fixed_normalizer below 1 is taken as it is.",
            "a normaliser that is held at 1 in some modes only",
            Cause.NORMALISATION_MODE,
            instead(_Unguarded),
        ),
        Slip(
            "full-counts-channels",
            "FULL divides by all entries, channels included.",
            "the mean of other libraries",
            Cause.INNER_SIZE,
            instead(_OverEntries),
        ),
        Slip(
            "weights-not-read",
            "A third bottom is not read.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_WeightsIgnored),
        ),
        Slip(
            "weights-outside",
            "The weights multiply the errors and not the differences.",
            "forks of smooth L1 whose third bottom stands outside",
            Cause.UNNAMEABLE,
            instead(_WeightsOutside),
        ),
        Slip(
            "abs-of-integers",
            "The absolute value is that of integers.",
            "the layer's own abs without std, which some tool chains bind to the integers' one",
            Cause.UNNAMEABLE,
            instead(_IntegerAbs),
        ),
        Slip(
            "parabola-not-halved", "The parabola lacks its half.", "classic slip", Cause.FACTOR_2, instead(_NotHalved)
        ),
        Slip(
            "no-parabola", "The loss is the absolute difference.", "classic slip", Cause.UNNAMEABLE, instead(_Straight)
        ),
        Slip(
            "second-not-negated",
            "Both bottoms get the gradient of the first.",
            "classic slip",
            Cause.ONE_BOTTOM,
            gradient(_negative, 1),
        ),
    ),
)
