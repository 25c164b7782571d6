"""FocalLoss in further forks, of softmax probabilities: another base of the power, another alpha, another guard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import covering, rounded
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.focal_loss import FocalLoss, raised
from refimpl.quirk import Departure
from refimpl.schema import Message, boolean, enum, floating, repeated

__all__ = ["AlphaInsideFocalLoss", "ClassWeightedFocalLoss", "GuardedFocalLoss"]

_F2 = "zimenglan-sysu-512/Focal-Loss src/caffe/layers/focal_loss_layer.cpp"
_F3 = "happynear/caffe-windows@967eedf2 src/caffe/layers/focal_loss_layer.cpp"
_F5 = "owphoo/FocalLoss@c000b916 src/caffe/layers/focal_loss_layer.cpp"
_EPSILON = 1e-10
_SPARE = 1e-6
ALPHA_INSIDE = "F3-focal-alpha-inside"
SPARE = "F5-focal-spare"


class TypedFocalParameter(Message):
    """``focal_loss_param`` of zimenglan-sysu-512/Focal-Loss; LINEAR is parsed, and no code computes it."""

    type: str = enum("ORIGIN", ORIGIN=0, LINEAR=1)
    gamma: float = floating(2)
    alpha: float = floating(0.25)
    beta: float = floating(1)


class AddingFocalParameter(TypedFocalParameter):
    """The same of happynear/caffe-windows, which has a third type and another alpha."""

    type: str = enum("ORIGIN", ORIGIN=0, LINEAR=1, ONEADDP=2)
    alpha: float = floating(1)


class GuardedFocalLoss(FocalLoss):
    """The same as F1 with 1 - p kept at 1e-10 or more where it divides; the classes on ``softmax_param.axis``."""

    messages: ClassVar = {"focal_loss_param": TypedFocalParameter}
    forms = (Form("F2", _F2),)
    departures: ClassVar[tuple[Departure, ...]] = ()
    sign = -1.0

    def softmax_axis(self) -> int:
        return self.param.softmax_param.axis

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        if self.gamma < 0 or self.alpha <= 0:
            raise LayerError(f"gamma {self.gamma} and alpha {self.alpha}", "gamma is at least 0, alpha positive")

    def gradient(self, probability: Any, hot: NDArray[np.float64], p: Any, logarithm: Any) -> Any:
        power = self.power(self.rest(p))
        share = power / np.maximum(self.divided(p), rounded(_EPSILON, p))
        factor = self.gamma * self.sign * share * logarithm * p + np.where(self._capped(p), 0.0, power)
        return factor * (probability - hot)

    def divided(self, p: Any) -> Any:
        """What the slope of the power divides by."""
        return 1.0 + self.sign * p


class AlphaInsideFocalLoss(GuardedFocalLoss):
    """``L = -sum (alpha - p)^gamma log(max(p, FLT_MIN)) / Z``, with ONEADDP of (alpha + p): alpha stands in the power.

    The gradient divides the power by 1 - p (1 + p), which is right for alpha 1 alone (a departure). Where p exceeds
    alpha, a fractional gamma gives NaN.
    """

    messages: ClassVar = {"focal_loss_param": AddingFocalParameter}
    forms = (Form("F3", _F3),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            ALPHA_INSIDE,
            "alpha is not 1 and gamma not 0",
            "the power is of alpha - p, the slope divides it by 1 - p",
            f"{_F3} Reshape (ones_ holds alpha), Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.sign = 1.0 if self.own["focal_loss_param"].type == "ONEADDP" else -1.0

    def weight(self, labels: NDArray[np.int64]) -> Any:
        return np.ones(labels.shape)

    def rest(self, p: Any) -> Any:
        return self.alpha + self.sign * p

    def power(self, rest: Any) -> Any:
        return np.power(rest, self.gamma) if self.alpha < 1 else raised(rest, self.gamma)

    def divided(self, p: Any) -> Any:
        inside = self.alpha != 1 and self.gamma != 0 and self.dialect.derivative(ALPHA_INSIDE)
        return self.rest(p) if inside else super().divided(p)


class ListedFocalParameter(Message):
    """``focal_loss_param`` of owphoo/FocalLoss: an alpha for every class, used with alpha_balance."""

    alpha: tuple[float, ...] = repeated(floating())
    gamma: float = floating(2)
    alpha_balance: bool = boolean(False)


class ClassWeightedFocalLoss(FocalLoss):
    """``L = -sum a_y (1 + 1e-6 - p)^gamma log(max(p, FLT_MIN)) / Z``: the 1e-6 keeps the power from 0; a_y is the alpha
    of the label's class with alpha_balance, else 1. The gradient takes it for 0 where it does not raise it (a
    departure)."""

    messages: ClassVar = {"focal_loss_param": ListedFocalParameter}
    forms = (Form("F5", _F5),)
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            SPARE,
            "always",
            "the gradient is that of (1 - p)^gamma, with 1e-6 added where a number is raised to a power only",
            f"{_F5} Forward_cpu, Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super(FocalLoss, self).setup(bottom, top)
        self.gamma = float(self.own["focal_loss_param"].gamma)
        self.alphas = np.asarray(self.own["focal_loss_param"].alpha, np.float64)

    def softmax_axis(self) -> int:
        return self.param.softmax_param.axis

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        classes = bottom[0].shape[self.axis]
        if not self.own["focal_loss_param"].alpha_balance:
            self.alphas = np.ones(classes)
        elif self.alphas.size != classes:
            raise LayerError(f"{self.alphas.size} alpha(s) for {classes} classes", "give one alpha for each class")

    def weight(self, labels: NDArray[np.int64]) -> Any:
        return self.alphas[labels]

    def rest(self, p: Any) -> Any:
        return rounded(1.0 + _SPARE, p) - p

    def gradient(self, probability: Any, hot: NDArray[np.float64], p: Any, logarithm: Any) -> Any:
        rest, gamma = self.rest(p), self.gamma
        power, less = raised(rest, gamma), raised(rest, gamma - 1.0)
        if self.dialect.derivative(SPARE):
            return (power - gamma * p * less * logarithm) * (probability - hot)
        own = power * (gamma * p * logarithm + p - 1.0)
        others = less * (probability - p * probability * (1.0 + gamma * logarithm))
        return np.where(hot > 0, covering(own, others), others)
