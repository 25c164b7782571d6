"""FocalLoss over sigmoids: a score and a target for every entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, floored_log, like, may_be_below, sigmoid, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.layers.focal_loss import raised
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.layers.softmax_with_loss import FLOOR
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, floating

__all__ = ["BalancedFocalLoss", "PlainFocalLoss", "SigmoidFocalLoss"]

_F4 = "GuohongWu/caffe-windows@88602198 src/caffe/layers/focal_loss_layer.cpp"
_F4_GPU = "GuohongWu/caffe-windows@d3c5786c src/caffe/layers/focal_loss_layer.cu"
_F4_GPU_FIRST = "liuyuisanai/Focal-Loss@edab5cd1 focal_loss_layer.cu; ba34df98 took 1 - alpha for the others"
_F6 = "guomugong/BTS-DSN@c89b8344 src/caffe/layers/focal_loss_layer.cpp:46"
RESETS = "focal-ignored-resets"
IGNORED_SLOPE = "F4-focal-ignored-slope"
CERTAIN = "F4-gpu-focal-certain"


class SigmoidFocalParameter(Message):
    """``focal_loss_param`` of liuyuisanai/Focal-Loss and its copies."""

    alpha: float = floating(0.25)
    gamma: float = floating(2)


class _OfSigmoids(LossLayer):
    """Bottoms: scores x and targets t of one count and first dimension."""

    messages: ClassVar = {"focal_loss_param": SigmoidFocalParameter}

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.alpha = float(self.own["focal_loss_param"].alpha)
        self.gamma = float(self.own["focal_loss_param"].gamma)
        self.normalisation = Normalisation.of(self.param.loss_param, "BATCH_SIZE")
        self.sigmoid = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            raise LayerError(
                f"scores {bottom[0].shape} and targets {bottom[1].shape} differ in count", "one target per score"
            )
        self.sigmoid.reshape_like(bottom[0])

    def _read(self, bottom: Sequence[Blob]) -> tuple[Any, Any, NDArray[np.int64]]:
        """Scores, targets, and these truncated, in the scores' shape."""
        shape = bottom[0].shape
        return bottom[0].wide, bottom[1].wide.reshape(shape), bottom[1].integers().reshape(shape)


class PlainFocalLoss(_OfSigmoids):
    """What F4 computes on the CPU: a sigmoid cross entropy over the batch size; alpha, gamma, normalization do nothing.

    ``L = sum (log(1 + exp(-|x|)) - x (t - [x >= 0])) / N`` over the entries whose target is not the ignore_label, and
    ``dL/dx = w (s - t) / N`` at every entry (a departure); s is the sigmoid of forward. More than one top is never
    shaped, and refused in forward.
    """

    type = "FocalLoss"
    exact_tops = None
    min_tops = 1
    forms = (Form("F4", _F4),)
    quirks = (
        Quirk(
            RESETS,
            "an ignored entry sets the running sum to 0: only the entries after the last one count",
            "an ignored entry adds nothing",
            f"{_F4}:98-101; liuyuisanai/Focal-Loss#3",
        ),
    )
    departures = (
        Departure(
            IGNORED_SLOPE,
            "an entry is ignored",
            "the gradient is that of all entries; ignored ones, and those before them, add nothing to the loss",
            f"{_F4} Backward_cpu",
        ),
    )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if len(top) > 1:
            raise LayerError("tops beyond the first have no shape", "give it one top")
        x, t, _ = self._read(bottom)
        self.refuse_empty_batch(bottom)
        self.sigmoid.data[...] = sigmoid(x)
        losses = np.where(self._counted(bottom), cross_entropy(x, t), 0.0)
        top[0].data[...] = exact_sum(losses) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        _, t, _ = self._read(bottom)
        gradient = weighted(self.sigmoid.wide - t, top[0].wide_diff / bottom[0].num)
        counted = self._counted(bottom)
        if not counted.all() and self.dialect.derivative(IGNORED_SLOPE):
            gradient = np.where(counted, gradient, 0.0)
        bottom[0].diff[...] = gradient

    def _counted(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        """The targets themselves are compared, not truncated."""
        _, t, _ = self._read(bottom)
        ignored = self.normalisation.ignored
        if ignored is None:
            return np.ones(t.shape, bool)
        found = np.asarray(t == ignored)
        if not found.any() or not self.dialect.takes(RESETS):
            return ~found
        last = int(np.flatnonzero(found.reshape(-1))[-1])
        return np.asarray(np.arange(found.size) > last).reshape(found.shape)


class SigmoidFocalLoss(_OfSigmoids):
    """``L = sum a (1 - p)^gamma ce / Z`` over the counted entries: ce the cross entropy of sigmoid and target, p the
    probability of what the target, truncated, is: 1, or anything else; a is alpha at a target of 1 and 1 - alpha
    elsewhere, where the form does not have ``one_alpha`` for all.

    ``dL/dx = w a ((1 - p)^gamma (s - t) + gamma (1 - p)^(gamma - 1) ce dp) / Z`` with ``dp = -s (1 - s)`` at a
    target of 1 and ``s (1 - s)`` elsewhere. Where 1 - p rounds to 0 and gamma is below 1, that is gamma times an
    infinity (a departure).
    """

    type = "FocalLoss"
    forms = (
        Form("F4-gpu", _F4_GPU, {"one_alpha": False}),
        Form("F4-gpu-one-alpha", _F4_GPU_FIRST, {"one_alpha": True}),
    )
    departures = (
        Departure(
            CERTAIN,
            "1 - p rounds to 0, and gamma is below 1",
            "the gradient is infinite, with gamma 0 NaN; the derivative is next to 0",
            f"{_F4_GPU} FocalLossBackwardSecondItemGPU",
        ),
    )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        x, t, truncated = self._read(bottom)
        counted = self.normalisation.counted(truncated)
        losses = self._share(x, truncated) * raised(self._rest(x, truncated), self.gamma) * cross_entropy(x, t)
        self.divisor = self.normalisation.divisor(bottom[0].shape[0], counted)
        top[0].data[...] = exact_sum(np.where(counted, losses, 0.0)) / self.divisor

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        x, t, truncated = self._read(bottom)
        s, rest, ce = sigmoid(x), self._rest(x, truncated), cross_entropy(x, t)
        side = np.where(truncated == 1, -1.0, 1.0)
        slope = raised(rest, self.gamma) * (s - t)
        if self.gamma != 0:
            slope = slope + self.gamma * raised(rest, self.gamma - 1.0) * ce * (side * s * (1.0 - s))
        certain = may_be_below(rest, FLOOR) if self.gamma < 1 else np.zeros(rest.shape, bool)
        counted = self.normalisation.counted(truncated)
        if (certain & counted).any() and not self.dialect.derivative(CERTAIN):
            slope = np.where(certain, self.gamma * np.inf * side * ce, slope)
        slope = weighted(self._share(x, truncated) * slope, top[0].wide_diff / self.divisor)
        bottom[0].diff[...] = np.where(counted, slope, 0.0)

    def _share(self, x: Any, truncated: NDArray[np.int64]) -> Any:
        """What an entry's loss is multiplied by."""
        others = like(x, self.alpha) if self.form.switches["one_alpha"] else 1.0 - like(x, self.alpha)
        return np.where(truncated == 1, like(x, self.alpha), others)

    def _rest(self, x: Any, truncated: NDArray[np.int64]) -> Any:
        """1 - p."""
        s = sigmoid(x)
        return 1.0 - np.where(truncated == 1, s, 1.0 - s)


class BalancedFocalLoss(_OfSigmoids):
    """``L = -sum a (1 - p)^gamma log(max(p, FLT_MIN))``, not divided: a is the share of the targets that are not 1 at a
    target of 1, and the rest elsewhere.

    BTS-DSN's backward counts with a member that nothing sets; here it counts all entries, as forward does.
    """

    type = "FocalLoss"
    forms = (Form("F6", _F6),)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        p, share, _ = self._parts(bottom)
        top[0].data[...] = exact_sum(-(share * raised(1.0 - p, self.gamma) * floored_log(p, FLOOR)))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            p, share, side = self._parts(bottom)
            slope = raised(1.0 - p, self.gamma) * (self.gamma * p * floored_log(p, FLOOR) + p - 1.0)
            bottom[0].diff[...] = weighted(side * share * slope, top[0].wide_diff)

    def _parts(self, bottom: Sequence[Blob]) -> tuple[Any, Any, Any]:
        """The probability of what the target is, its weight, and which way the score moves it."""
        x, _, truncated = self._read(bottom)
        positive = truncated == 1
        share = float(np.count_nonzero(~positive)) / positive.size
        s = sigmoid(x)
        p = np.where(positive, s, 1.0 - s)
        return p, np.where(positive, share, 1.0 - share), np.where(positive, 1.0, -1.0)
