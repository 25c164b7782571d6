"""What can be wrong in FocalLoss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.normalising import IGNORING
from conformance.mutants.slips import Alter, Blobs, Slip, control, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.focal_loss import FocalLoss

__all__ = ["MUTANTS"]


class _Formula(FocalLoss):
    """The formula in one place, for mutants to change."""

    def power(self, rest: Any) -> Any:
        return rest**self.gamma

    def slope(self, p: Any, logarithm: Any) -> Any:
        """What the softmax's own gradient is multiplied by."""
        rest = 1 - p
        return rest**self.gamma - self.gamma * p * np.where(rest > 0, rest, 1) ** (self.gamma - 1) * logarithm

    def gradient(self, probability: Any, hot: NDArray[np.float64], p: Any, logarithm: Any) -> Any:
        return self.slope(p, logarithm) * (probability - hot)


class _AlphaInside(_Formula):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.inside, self.alpha = self.alpha, 1.0

    def rest(self, p: Any) -> Any:
        return self.inside - p


class _WrongBase(_Formula):
    def slope(self, p: Any, logarithm: Any) -> Any:
        rest = 1 - p
        return rest**self.gamma - self.gamma * p ** (self.gamma - 1) * p * logarithm


class _OnePlus(_Formula):
    def rest(self, p: Any) -> Any:
        return 1 + p


class _Timed(_Formula):
    """(1 - p) times gamma, where it is to be raised."""

    def power(self, rest: Any) -> Any:
        return rest * self.gamma


class _ForwardPlain(_Formula):
    def power(self, rest: Any) -> Any:
        return np.ones_like(rest)


class _SlopeOfPower(_Formula):
    def slope(self, p: Any, logarithm: Any) -> Any:
        return (1 - p) ** self.gamma


class _SlopeWithoutGamma(_Formula):
    def slope(self, p: Any, logarithm: Any) -> Any:
        rest = 1 - p
        return rest**self.gamma - p * np.where(rest > 0, rest, 1) ** (self.gamma - 1) * logarithm


class _OthersByRest(FocalLoss):
    """alpha at the label and 1 - alpha elsewhere, in the gradient alone."""

    def gradient(self, probability: Any, hot: NDArray[np.float64], p: Any, logarithm: Any) -> Any:
        found = super().gradient(probability, hot, p, logarithm)
        return np.where(hot > 0, found, found * (1 - self.alpha) / self.alpha)


def _given(change: Callable[[float, float], tuple[float, float]]) -> Alter:
    """Another alpha and gamma."""

    class Wrong(FocalLoss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.alpha, self.gamma = change(self.alpha, self.gamma)

    return instead(Wrong)


MUTANTS = mutants_of(
    "focal_loss",
    FocalLoss,
    (
        *COMMON,
        *IGNORING,
        control(instead(_Formula)),
        Slip(
            "alpha-inside",
            "alpha stands in the power: (alpha - p)^gamma, and is no factor.",
            "a fork that fills the ones of 1 - p with alpha",
            Cause.UNNAMEABLE,
            instead(_AlphaInside),
        ),
        Slip(
            "slope-of-p",
            "Backward raises p where it is to raise 1 - p.",
            "a softmax loss with a focal option whose plain branch has the wrong base",
            Cause.UNNAMEABLE,
            instead(_WrongBase),
        ),
        Slip(
            "one-plus-p",
            "The power is of 1 + p.",
            "a fork for face recognition that changed the sign",
            Cause.UNNAMEABLE,
            instead(_OnePlus),
        ),
        Slip(
            "times-gamma",
            "1 - p is multiplied by gamma and not raised to it.",
            "ports of the focal loss to other frameworks",
            Cause.UNNAMEABLE,
            instead(_Timed),
        ),
        Slip(
            "forward-without-gamma",
            "The loss lacks the power, the gradient has it.",
            "CPU code that is a plain cross entropy beside GPU code that is not",
            Cause.OPTION_IGNORED,
            instead(_ForwardPlain),
        ),
        Slip(
            "slope-of-logarithm-only",
            "The gradient treats (1 - p)^gamma as a constant.",
            "a weight that is detached, where it is part of the loss",
            Cause.UNNAMEABLE,
            instead(_SlopeOfPower),
        ),
        Slip(
            "slope-without-gamma",
            "The derivative of the power lacks its factor gamma.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_SlopeWithoutGamma),
        ),
        Slip(
            "others-weigh-the-rest",
            "In the gradient the other classes are weighted with 1 - alpha.",
            "an early focal loss layer, whose other classes had 1 - alpha",
            Cause.UNNAMEABLE,
            instead(_OthersByRest),
        ),
        Slip(
            "alpha-not-read",
            "alpha is 1, whatever is set.",
            "forks in which alpha has no effect",
            Cause.OPTION_IGNORED,
            _given(lambda alpha, gamma: (1.0, gamma)),
        ),
        Slip(
            "gamma-not-read",
            "gamma is 2, whatever is set.",
            "classic slip",
            Cause.OPTION_IGNORED,
            _given(lambda alpha, gamma: (alpha, 2.0)),
        ),
        Slip(
            "gamma-one-more",
            "The power is gamma + 1.",
            "classic slip",
            Cause.UNNAMEABLE,
            _given(lambda alpha, gamma: (alpha, gamma + 1)),
        ),
        Slip(
            "alpha-in-the-loss-alone",
            "alpha is no factor of the gradient.",
            "classic slip",
            Cause.COMMON_FACTOR,
            gradient(lambda x, at: x / at.layer.alpha),
        ),
        Slip(
            "alpha-in-the-gradient-alone",
            "alpha is no factor of the loss.",
            "classic slip",
            Cause.COMMON_FACTOR,
            loss(lambda x, at: x / at.layer.alpha),
        ),
    ),
)
