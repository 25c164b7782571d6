"""What can be wrong in SmoothL1Loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.smooth_l1_loss import SmoothL1Loss

__all__ = ["MUTANTS"]


class _Formula(SmoothL1Loss):
    """The formula in one place, for mutants to change."""

    def value(self, v: Any) -> Any:
        s, size = self.squared_sigma, np.absolute(v)
        return np.where(size < 1 / s, s * v * v / 2, size - 1 / (2 * s))

    def slope(self, v: Any) -> Any:
        return np.where(np.absolute(v) < self.knee, self.squared_sigma * v, np.sign(v))


def _as_integers(x: Any) -> Any:
    """What abs of an int leaves of a number."""
    return np.trunc(np.absolute(x))


class _IntegerAbs(_Formula):
    def value(self, v: Any) -> Any:
        size = _as_integers(v)
        return np.where(size < self.knee, self.squared_sigma * v * v / 2, size - 1 / (2 * self.squared_sigma))


class _KneeAtOne(_Formula):
    def value(self, v: Any) -> Any:
        s, size = self.squared_sigma, np.absolute(v)
        return np.where(size < 1, s * v * v / 2, size - 1 / (2 * s))

    def slope(self, v: Any) -> Any:
        return np.where(np.absolute(v) < 1, self.squared_sigma * v, np.sign(v))


class _SlopeKneeAtOne(_Formula):
    def slope(self, v: Any) -> Any:
        return np.where(np.absolute(v) < 1, self.squared_sigma * v, np.sign(v))


class _SlopeWithoutSigma(_Formula):
    def slope(self, v: Any) -> Any:
        return np.where(np.absolute(v) < self.knee, v, np.sign(v))


class _NoParabola(_Formula):
    def value(self, v: Any) -> Any:
        return np.absolute(v)

    def slope(self, v: Any) -> Any:
        return np.sign(v)


class _NotShifted(_Formula):
    def value(self, v: Any) -> Any:
        return np.where(np.absolute(v) < self.knee, self.squared_sigma * v * v / 2, np.absolute(v))


class _ParabolaNotHalved(_Formula):
    def value(self, v: Any) -> Any:
        s, size = self.squared_sigma, np.absolute(v)
        return np.where(size < 1 / s, s * v * v, size - 1 / (2 * s))


class _Huber(_Formula):
    """As long as the parabola is, the straight line is steep."""

    def value(self, v: Any) -> Any:
        knee, size = self.knee, np.absolute(v)
        return np.where(size < knee, v * v / 2, knee * (size - knee / 2))

    def slope(self, v: Any) -> Any:
        return np.clip(v, -self.knee, self.knee)


def _sigma(change: Callable[[float], float]) -> Alter:
    """Another number in the place of sigma^2."""

    class Wrong(SmoothL1Loss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.squared_sigma = change(self.own["smooth_l1_loss_param"].sigma)

    return instead(Wrong)


class _AbssumIgnored(SmoothL1Loss):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.absolute = True


class _WeightsSwapped(SmoothL1Loss):
    def inside(self, bottom: Blobs) -> Any:
        return super().inside([*bottom[:2], *bottom[:1:-1]])

    def outside(self, bottom: Blobs) -> Any:
        return super().outside([*bottom[:2], *bottom[:1:-1]])


class _OutsideForgotten(SmoothL1Loss):
    def outside(self, bottom: Blobs) -> Any:
        return None


class _SlopeWithoutOutside(SmoothL1Loss):
    def factor(self, bottom: Blobs) -> Any:
        return self.inside(bottom) if not self.absolute else None


class _InsideForgotten(SmoothL1Loss):
    def inside(self, bottom: Blobs) -> Any:
        return None


class _InsideOutside(SmoothL1Loss):
    """All weights multiply what comes out."""

    def inside(self, bottom: Blobs) -> Any:
        return None

    def outside(self, bottom: Blobs) -> Any:
        inside, outside = super().inside(bottom), super().outside(bottom)
        return inside if outside is None else inside * outside


class _SquaredInside(SmoothL1Loss):
    def factor(self, bottom: Blobs) -> Any:
        inside, factor = self.inside(bottom), super().factor(bottom)
        return factor if inside is None else inside * inside * (1 if factor is None else factor)


class _OverWeights(SmoothL1Loss):
    """Divides by the number of weights that are not 0."""

    def loss_divisor(self, bottom: Blobs) -> Any:
        return (
            super().loss_divisor(bottom)
            if len(bottom) == 2
            else float(max(1, int(np.count_nonzero(self.inside(bottom)))))
        )


class _SecondNotNegated(SmoothL1Loss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[1]:
            bottom[1].diff[...] = -bottom[1].diff


class _FirstBottomOnly(SmoothL1Loss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [propagate_down[0], False, *propagate_down[2:]], bottom)
        if propagate_down[1]:
            bottom[1].diff[...] = 0


def _knee_of_zero(x: Any, at: At) -> Any:
    met = np.absolute(at.layer.difference.wide) == at.layer.knee
    return np.where(met.reshape(x.shape), 0, x)


def _per_entry(x: Any, at: At) -> Any:
    return x / at.entries


MUTANTS = mutants_of(
    "smooth_l1_loss",
    SmoothL1Loss,
    (
        *COMMON,
        control(instead(_Formula)),
        Slip(
            "abs-of-integers",
            "The absolute value is that of integers: 1.7 is 1, so that the loss is flat between 1 and 2.",
            "abs without std in smooth L1 layers, which some tool chains bind to the integers' one",
            Cause.UNNAMEABLE,
            instead(_IntegerAbs),
        ),
        Slip(
            "knee-at-1",
            "The parabola ends at 1, whatever sigma is.",
            "a port of Faster R-CNN to TensorFlow with a threshold of 1 instead of 1 / sigma^2",
            Cause.MARGIN,
            instead(_KneeAtOne),
        ),
        Slip(
            "slope-knee-at-1",
            "Backward ends the parabola at 1, whatever sigma is.",
            "forward and backward that were changed for sigma one after the other",
            Cause.MARGIN,
            instead(_SlopeKneeAtOne),
        ),
        Slip(
            "slope-without-sigma",
            "Backward lacks the factor sigma^2 of the parabola's slope.",
            "classic slip",
            Cause.OPTION_IGNORED,
            instead(_SlopeWithoutSigma),
        ),
        Slip(
            "sigma-not-squared",
            "sigma stands where its square belongs: 3 is 3 and not 9.",
            "ports of Faster R-CNN that multiply by 3 where it is 9",
            Cause.OPTION_IGNORED,
            _sigma(lambda sigma: sigma),
        ),
        Slip(
            "sigma-not-read",
            "sigma is 1, whatever is set.",
            "SSD's copy of the layer, which lost the parameter",
            Cause.OPTION_IGNORED,
            _sigma(lambda sigma: 1.0),
        ),
        Slip(
            "sigma-inverted",
            "The parabola ends at sigma^2 and not at its inverse.",
            "frameworks whose parameter is beta, the place of the knee",
            Cause.OPTION_IGNORED,
            _sigma(lambda sigma: 1 / sigma**2),
        ),
        Slip(
            "huber",
            "With sigma the loss is Huber's, whose straight part has the slope of the knee.",
            "libraries whose Huber loss and smooth L1 loss differ by a factor of beta",
            Cause.UNNAMEABLE,
            instead(_Huber),
        ),
        Slip(
            "no-parabola",
            "The loss is the absolute difference.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_NoParabola),
        ),
        Slip(
            "straight-part-not-shifted",
            "The straight part is |d| without the half that makes it meet the parabola.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_NotShifted),
        ),
        Slip(
            "parabola-not-halved",
            "The parabola lacks its half.",
            "classic slip",
            Cause.FACTOR_2,
            instead(_ParabolaNotHalved),
        ),
        Slip(
            "abssum-not-read",
            "abssum: false is not read: absolute values are added up, and the slope lacks the inside weight.",
            "the option's default, which gives Faster R-CNN's prototxts the gradient of SSD",
            Cause.OPTION_IGNORED,
            instead(_AbssumIgnored),
        ),
        Slip(
            "inside-weights-forgotten",
            "The inside weights are not read.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_InsideForgotten),
        ),
        Slip(
            "outside-weights-forgotten",
            "The outside weights are not read, in either direction.",
            "DeepDetect's CPU code, which reads the inside weights only",
            Cause.UNNAMEABLE,
            instead(_OutsideForgotten),
        ),
        Slip(
            "slope-without-outside-weights",
            "The gradient lacks the outside weights, the loss has them.",
            "layers whose CPU and GPU code read different weights",
            Cause.UNNAMEABLE,
            instead(_SlopeWithoutOutside),
        ),
        Slip(
            "weights-swapped",
            "Inside and outside weights change places.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_WeightsSwapped),
        ),
        Slip(
            "all-weights-outside",
            "The inside weights multiply what comes out, like the outside ones.",
            "a fork whose third bottom stands outside, under the same type name",
            Cause.UNNAMEABLE,
            instead(_InsideOutside),
        ),
        Slip(
            "inside-weights-squared",
            "The gradient carries the inside weights twice more than it should.",
            "the question whether the inside weights stand in the gradient twice",
            Cause.UNNAMEABLE,
            instead(_SquaredInside),
        ),
        Slip(
            "divided-by-weights",
            "With weights the loss is divided by those that are not 0, the gradient by the batch size.",
            "forks that divide by the weights' sum in forward only",
            Cause.BATCH_RATIO,
            instead(_OverWeights),
        ),
        Slip(
            "mean-of-entries",
            "Loss and gradient are divided by the entries of an item, too.",
            "the mean that other libraries take",
            Cause.INNER_SIZE,
            lambda layer: gradient(_per_entry)(loss(_per_entry)(layer)),
        ),
        Slip(
            "second-not-negated",
            "Both bottoms get the gradient of the first.",
            "classic slip",
            Cause.ONE_BOTTOM,
            instead(_SecondNotNegated),
        ),
        Slip(
            "first-bottom-only",
            "The second bottom's gradient is 0.",
            "targets taken for constants",
            Cause.ONE_BOTTOM,
            instead(_FirstBottomOnly),
        ),
        Slip(
            "flat-at-the-knee",
            "Exactly where the parabola ends the gradient is 0.",
            "two comparisons that both leave the boundary out",
            Cause.UNNAMEABLE,
            gradient(_knee_of_zero),
        ),
    ),
)
