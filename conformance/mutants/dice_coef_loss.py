"""What can be wrong in DiceCoefLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, At, Blobs, Slip, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layer import pick_label
from refimpl.layers.dice_coef_loss import DiceCoefLoss

__all__ = ["MUTANTS"]


class _Hard(DiceCoefLoss):
    """The overlap of the largest scores, in the loss alone."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        x, t = self._planes(bottom)
        chosen = pick_label(np.argmax(x, 1), x.shape[1], 1)
        overlap, _ = self._overlap(chosen, t, self.factors)
        top[0].data[...] = 1 - overlap.sum() / len(x)


class _Unsmoothed(DiceCoefLoss):
    def _smooth(self, images: int) -> float:
        return 0.0


class _OneMore(DiceCoefLoss):
    """The guard is 1, and not 1/N."""

    def _smooth(self, images: int) -> float:
        return 1.0 if super()._smooth(images) else 0.0


class _OfWholeBatch(DiceCoefLoss):
    """One overlap of the whole batch."""

    def _overlap(self, x: Any, t: NDArray[np.float64], factors: Any) -> tuple[Any, Any]:
        smooth = self._smooth(len(t))
        below = (factors * x * x).sum() + smooth + (factors * t).sum()
        ratio = (smooth + 2 * (factors * x * t).sum()) / below
        return np.full(len(t), ratio), np.full(len(t), below)


class _Unsquared(DiceCoefLoss):
    """The union adds up x, not its square."""

    def _overlap(self, x: Any, t: NDArray[np.float64], factors: Any) -> tuple[Any, Any]:
        smooth = self._smooth(len(t))
        below = (factors * x).sum((1, 2)) + smooth + (factors * t).sum((1, 2))
        below = np.where(np.abs(below) < 1e-3, 1e-3, below)
        return (smooth + 2 * (factors * x * t).sum((1, 2))) / below, below


class _AlwaysCounted(DiceCoefLoss):
    """An ignored class counts."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.ignored = None


class _AlwaysIgnored(DiceCoefLoss):
    """ignore_label acts without a generalization."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        param = self.own["dice_coef_loss_param"]
        if self.mode == "NONE" and param.has("ignore_label"):
            self.mode, self.ignored = "MULTICLASS", param.ignore_label


class _OnePower(DiceCoefLoss):
    """weight_mode is not read."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.power = -2.0


class _PerImage(DiceCoefLoss):
    """Volumes are always an image's own."""

    def _averaged(self, held: Any, count: bool) -> Any:
        return held


class _Forgetful(DiceCoefLoss):
    """Of earlier batches nothing is kept."""

    def _averaged(self, held: Any, count: bool) -> Any:
        self.batches = 0
        return super()._averaged(held, count)


class _Emptied(DiceCoefLoss):
    """A class that an image does not hold has no volume at all, and weighs nothing."""

    def _factors(self, x: Any, t: NDArray[np.float64], count: bool = False) -> Any:
        factors = super()._factors(x, t, count)
        return factors * (t.sum(2, keepdims=True) > 0) if self.mode.startswith("MULTICLASS_WEIGHTED") else factors


class _WeightedUnionOnly(DiceCoefLoss):
    """The intersection is not weighted."""

    def _overlap(self, x: Any, t: NDArray[np.float64], factors: Any) -> tuple[Any, Any]:
        _, below = super()._overlap(x, t, factors)
        return (self._smooth(len(t)) + 2 * (x * t).sum((1, 2))) / below, below


class _Refusing(DiceCoefLoss):
    """Backward looks at the labels' own image only where there is one for each: a label's gradient is not refused."""

    def refuse_label_gradient(self, propagate_down: Sequence[bool]) -> None:
        pass


def _cut_off(x: Any, at: At) -> Any:
    return np.trunc(x)


MUTANTS = mutants_of(
    "dice_coef_loss",
    DiceCoefLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "score-reported",
            "The top is the overlap itself, larger is better.",
            "a Dice layer that reports a score and descends its opposite",
            Cause.UNNAMEABLE,
            loss(lambda x, at: 1 - x),
        ),
        Slip(
            "hard-overlap",
            "The loss counts the largest score of each position, the gradient is of the soft overlap.",
            "Dice layers whose value is of the argmax",
            Cause.UNNAMEABLE,
            instead(_Hard),
        ),
        Slip(
            "unguarded",
            "Neither count has the 1/N added.",
            "0/0 where prediction and truth are empty",
            Cause.UNNAMEABLE,
            instead(_Unsmoothed),
        ),
        Slip("guard-of-one", "1 is added where 1/N is.", "the usual smoothing", Cause.UNNAMEABLE, instead(_OneMore)),
        Slip(
            "one-overlap-of-all",
            "One overlap is taken of the whole batch.",
            "Dice losses that flatten the batch",
            Cause.UNNAMEABLE,
            instead(_OfWholeBatch),
        ),
        Slip(
            "union-unsquared",
            "The union adds up the predictions and not their squares.",
            "the other Dice loss, of a fork whose union is a sum",
            Cause.UNNAMEABLE,
            instead(_Unsquared),
        ),
        Slip(
            "labels-cut-off",
            "Labels are truncated and not rounded.",
            "what every other loss layer does",
            Cause.TRUNCATION,
            reading(_cut_off, 1),
        ),
        Slip(
            "ignored-class-counted",
            "ignore_label is not read.",
            "a port of the plain Dice loss",
            Cause.UNNAMEABLE,
            instead(_AlwaysCounted),
        ),
        Slip(
            "ignored-without-generalization",
            "ignore_label acts on the plain Dice loss as well.",
            "what the option's name promises",
            Cause.UNNAMEABLE,
            instead(_AlwaysIgnored),
        ),
        Slip(
            "weight-mode-not-read",
            "Every weight is the inverse square of the volume.",
            "the first version of the weights",
            Cause.OPTION_IGNORED,
            instead(_OnePower),
        ),
        Slip(
            "volumes-per-image",
            "Volumes are those of each image, where the batch's are asked for.",
            "generalizations taken for one another",
            Cause.UNNAMEABLE,
            instead(_PerImage),
        ),
        Slip(
            "batches-forgotten",
            "Volumes of all batches are those of the last one.",
            "a running mean that is set anew",
            Cause.UNNAMEABLE,
            instead(_Forgetful),
        ),
        Slip(
            "absent-classes-dropped",
            "A class that an image does not hold has the weight 0.",
            "weights without the one more in the volume",
            Cause.UNNAMEABLE,
            instead(_Emptied),
        ),
        Slip(
            "intersection-unweighted",
            "Weights count in the union alone.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_WeightedUnionOnly),
        ),
        Slip(
            "label-gradient-accepted",
            "A gradient of the labels is taken for nothing and not refused.",
            "classic slip",
            Cause.ACCEPTS,
            instead(_Refusing),
        ),
    ),
)
