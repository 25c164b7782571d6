"""What can be wrong in FocalLoss over sigmoids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.normalising import IGNORING, normalising
from conformance.mutants.slips import Alter, Blobs, Slip, control, gradient, instead, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.arithmetic import exact_sum, sigmoid
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.layers.sigmoid_focal_loss import SigmoidFocalLoss

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


class _Formula(SigmoidFocalLoss):
    """The formula in one place, for mutants to change: x and t are an entry's score and target, ``one`` says where p is
    the sigmoid."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        x, t, truncated = self._read(bottom)
        counted = self.normalisation.counted(truncated)
        losses = self.factor(self.alpha, truncated == 1) * self.power(self.rest(x, truncated == 1)) * self.cost(x, t)
        top[0].data[...] = exact_sum(np.where(counted, losses, 0.0)) / self.divisor

    def backward(self, top: Blobs, propagate_down: Any, bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if not propagate_down[0]:
            return
        x, t, truncated = self._read(bottom)
        one = truncated == 1
        slope = self.first(x, t, one) + self.second(x, t, one)
        scale = self.factor(self.alpha, one) * top[0].wide_diff / self.divisor
        bottom[0].diff[...] = np.where(self.normalisation.counted(truncated), slope * scale, 0.0)

    def factor(self, alpha: float, one: Any) -> Any:
        return np.where(one, alpha, 1 - alpha)

    def rest(self, x: Any, one: Any) -> Any:
        """1 - p."""
        return np.where(one, 1 - sigmoid(x), sigmoid(x))

    def power(self, rest: Any) -> Any:
        return rest**self.gamma

    def cost(self, x: Any, t: Any) -> Any:
        return cross_entropy(x, t)

    def first(self, x: Any, t: Any, one: Any) -> Any:
        """The derivative of the cross entropy, weighted."""
        return self.rest(x, one) ** self.gamma * (sigmoid(x) - t)

    def second(self, x: Any, t: Any, one: Any) -> Any:
        """The cross entropy by the derivative of its weight."""
        return self.gamma * self.less(self.rest(x, one)) * self.turn(x, one) * cross_entropy(x, t)

    def less(self, rest: Any) -> Any:
        return np.where(rest > 0, rest, 1) ** (self.gamma - 1) * (rest > 0)

    def turn(self, x: Any, one: Any) -> Any:
        return np.where(one, -1, 1) * sigmoid(x) * (1 - sigmoid(x))


class _Plain(_Formula):
    """A plain cross entropy: alpha and gamma have no effect."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.gamma = 0.0

    def factor(self, alpha: float, one: Any) -> Any:
        return 1.0


class _ForwardPlain(_Formula):
    def power(self, rest: Any) -> Any:
        return np.ones_like(rest)


class _PowerOfP(_Formula):
    def rest(self, x: Any, one: Any) -> Any:
        return np.where(one, sigmoid(x), 1 - sigmoid(x))

    def turn(self, x: Any, one: Any) -> Any:
        return -super().turn(x, one)


class _OfTheScoreAlone(_Formula):
    """1 - s at every entry, whatever the target is."""

    def rest(self, x: Any, one: Any) -> Any:
        return 1 - sigmoid(x)

    def turn(self, x: Any, one: Any) -> Any:
        return -sigmoid(x) * (1 - sigmoid(x))


class _OneAlpha(_Formula):
    """alpha at zeros, too."""

    def factor(self, alpha: float, one: Any) -> Any:
        return alpha


class _AlphaSwapped(_Formula):
    def factor(self, alpha: float, one: Any) -> Any:
        return np.where(one, 1 - alpha, alpha)


class _SecondLeftOut(_Formula):
    def second(self, x: Any, t: Any, one: Any) -> Any:
        return np.zeros(x.shape)


class _SecondWithoutGamma(_Formula):
    def second(self, x: Any, t: Any, one: Any) -> Any:
        return self.less(self.rest(x, one)) * self.turn(x, one) * cross_entropy(x, t) * (self.gamma > 0)


class _OneSign(_Formula):
    """The weight's derivative with the sign that it has at ones."""

    def turn(self, x: Any, one: Any) -> Any:
        return -sigmoid(x) * (1 - sigmoid(x))


class _PowerNotLessened(_Formula):
    """The weight's derivative keeps the whole power."""

    def less(self, rest: Any) -> Any:
        return rest**self.gamma


class _Unstable(_Formula):
    def cost(self, x: Any, t: Any) -> Any:
        s = 1 / (1 + np.exp(-x))
        return -t * np.log(s) - (1 - t) * np.log(1 - s)


class _CostOfBits(_Formula):
    """The cross entropy takes a target that is not 1 for 0."""

    def cost(self, x: Any, t: Any) -> Any:
        return cross_entropy(x, (np.trunc(t) == 1) * 1.0)


def _given(change: Callable[[float, float], tuple[float, float]]) -> Alter:
    """Another alpha and gamma."""

    class Wrong(SigmoidFocalLoss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.alpha, self.gamma = change(self.alpha, self.gamma)

    return instead(Wrong)


MUTANTS = mutants_of(
    "sigmoid_focal_loss",
    SigmoidFocalLoss,
    (
        *COMMON,
        *IGNORING,
        *normalising("BATCH_SIZE"),
        control(instead(_Formula)),
        Slip(
            "plain-cross-entropy",
            "A plain cross entropy: alpha and gamma have no effect.",
            "CPU code of a focal loss whose GPU code is right",
            Cause.OPTION_IGNORED,
            instead(_Plain),
        ),
        Slip(
            "forward-without-gamma",
            "The loss lacks the power, the gradient has it.",
            "layers whose displayed loss was left as it was",
            Cause.OPTION_IGNORED,
            instead(_ForwardPlain),
        ),
        Slip(
            "power-of-p",
            "p is raised to gamma where 1 - p is to be: what is certain weighs most.",
            "a softmax loss with a focal option whose plain branch has the wrong base",
            Cause.UNNAMEABLE,
            instead(_PowerOfP),
        ),
        Slip(
            "of-the-score-alone",
            "The power is of 1 - s at zeros, too.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_OfTheScoreAlone),
        ),
        Slip(
            "one-alpha",
            "alpha weighs zeros as it weighs ones.",
            "the first version of a focal loss layer, and issues that asked for the paper's",
            Cause.UNNAMEABLE,
            instead(_OneAlpha),
        ),
        Slip(
            "alpha-swapped",
            "alpha weighs zeros, and 1 - alpha ones.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_AlphaSwapped),
        ),
        Slip(
            "weight-taken-for-constant",
            "The gradient treats (1 - p)^gamma as a constant.",
            "a weight that is detached, where it is part of the loss",
            Cause.UNNAMEABLE,
            instead(_SecondLeftOut),
        ),
        Slip(
            "slope-without-gamma",
            "The derivative of the power lacks its factor gamma.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_SecondWithoutGamma),
        ),
        Slip(
            "slope-of-one-sign",
            "The derivative of the power has the sign at zeros that it has at ones.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_OneSign),
        ),
        Slip(
            "slope-of-the-whole-power",
            "The derivative of the power keeps gamma in place of gamma - 1.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_PowerNotLessened),
        ),
        Slip(
            "logarithm-of-the-sigmoid",
            "The sigmoid is taken first and its logarithm then: scores of some size cost infinitely much.",
            CLASSIC,
            Cause.OVERFLOW,
            instead(_Unstable),
        ),
        Slip(
            "cost-of-bits",
            "The cross entropy takes a target that is not 1 for 0.",
            "layers whose targets are read as labels of two classes",
            Cause.UNNAMEABLE,
            instead(_CostOfBits),
        ),
        Slip(
            "targets-rounded",
            "Targets are rounded before they are compared.",
            CLASSIC,
            Cause.TRUNCATION,
            reading(lambda t, at: np.rint(t), 1),
        ),
        Slip(
            "alpha-not-read",
            "alpha is 0.25, whatever is set.",
            "forks in which alpha has no effect",
            Cause.OPTION_IGNORED,
            _given(lambda alpha, gamma: (0.25, gamma)),
        ),
        Slip(
            "gamma-not-read",
            "gamma is 2, whatever is set.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            _given(lambda alpha, gamma: (alpha, 2.0)),
        ),
        Slip(
            "alpha-in-the-loss-alone",
            "alpha is no factor of the gradient.",
            CLASSIC,
            Cause.UNNAMEABLE,
            gradient(lambda x, at: x / np.where(at.bottom[1].integers().reshape(x.shape) == 1, 0.25, 0.75)),
        ),
    ),
)
