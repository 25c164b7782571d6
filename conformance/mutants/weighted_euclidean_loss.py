"""What can be wrong in EuclideanLoss with a weight for every entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layers.weighted_euclidean_loss import WeightedEuclideanLoss as Right

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _parts(at: At) -> tuple[Any, Any]:
    """The differences and their weights."""
    a, b = (blob.wide.reshape(at.bottom[0].shape) for blob in at.bottom[:2])
    return a - b, at.bottom[2].wide.reshape(a.shape) if len(at.bottom) > 2 else np.ones_like(a)


def _sum_of(term: Callable[[Any, Any], Any]) -> Alter:
    """The loss of other terms, of difference and weight."""
    return loss(lambda _, at: term(*_parts(at)).sum() / (2 * at.batch))


def _slope_of(slope: Callable[[Any, Any], Any]) -> Alter:
    """Other gradients, of difference and weight."""

    def alter(layer: type[Right]) -> type[Right]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                scaled = slope(*_parts(At(self, bottom, top))) * top[0].wide_diff / bottom[0].num
                for i, sign in ((0, 1), (1, -1)):
                    if propagate_down[i]:
                        bottom[i].diff[...] = (sign * scaled).reshape(bottom[i].shape)

        return Wrong

    return alter  # type: ignore[return-value]


def _over_weights(x: Any, at: At) -> Any:
    total = float(np.abs(_parts(at)[1]).sum())
    return x * at.batch / total if len(at.bottom) > 2 and total else x


class _AnyCount(Right):
    """Weights in any number: repeated, or cut off."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom[:2], top)

    def _weights(self, bottom: Blobs) -> Any:
        return np.resize(bottom[2].wide, bottom[0].shape)


class _WeightsOfSetup(Right):
    """The first batch's weights, ever after."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        if not hasattr(self, "first") and len(bottom) > 2:
            self.first = bottom[2].wide.copy()
        super().forward(bottom, top)

    def _weights(self, bottom: Blobs) -> Any:
        return np.resize(self.first, bottom[0].shape)


MUTANTS = mutants_of(
    "weighted_euclidean_loss",
    Right,
    (
        *COMMON,
        control(_sum_of(lambda d, m: (m * d) ** 2)),
        control(_slope_of(lambda d, m: m * d), "control-of-the-gradient"),
        Slip(
            "weight-not-squared",
            "The loss has the weight, not its square.",
            "the other fork's layer of the same bottoms",
            Cause.UNNAMEABLE,
            _sum_of(lambda d, m: m * d**2),
        ),
        Slip(
            "weights-in-the-gradient-alone",
            "The weights are no factor of the loss.",
            "layers whose displayed loss is to stay comparable",
            Cause.UNNAMEABLE,
            _sum_of(lambda d, m: d**2),
        ),
        Slip(
            "weights-in-the-loss-alone",
            "The weights are no factor of the gradient.",
            "layers whose backward was left as it was when weights came",
            Cause.UNNAMEABLE,
            _slope_of(lambda d, m: d),
        ),
        Slip(
            "gradient-with-the-cube",
            "The gradient has the weight's cube.",
            "a weight applied in forward, in backward and to what was kept between them",
            Cause.UNNAMEABLE,
            _slope_of(lambda d, m: m**3 * d),
        ),
        Slip(
            "gradient-with-the-square",
            "The gradient has the weight's square, as the derivative of the loss.",
            "happynear's layer, repaired",
            Cause.NONE,
            _slope_of(lambda d, m: m * m * d),
            equivalent="the ledger of departures names this region: the derivative is right as well",
        ),
        Slip(
            "weight-of-size-alone",
            "A negative weight counts as a positive one.",
            "the root of a squared weight",
            Cause.SIGN,
            _slope_of(lambda d, m: np.abs(m) * d),
        ),
        Slip(
            "weights-are-bits",
            "A weight that is not 0 is 1.",
            "a mask of what is known, in place of weights",
            Cause.TRUNCATION,
            reading(lambda m, at: (m != 0).astype(np.float64), 2),
        ),
        Slip(
            "weights-truncated",
            "Weights are cut off to integers.",
            "a third bottom read as labels are",
            Cause.TRUNCATION,
            reading(lambda m, at: np.trunc(m), 2),
        ),
        Slip(
            "divided-by-the-weights",
            "The loss is divided by the sum of the weights, and not by the batch.",
            "weighted means of other frameworks",
            Cause.BATCH_RATIO,
            loss(_over_weights),
        ),
        Slip(
            "gradient-divided-by-the-weights",
            "The gradient is divided by the sum of the weights, and not by the batch.",
            "weighted means of other frameworks",
            Cause.BATCH_RATIO,
            gradient(_over_weights),
        ),
        Slip(
            "weights-of-each-item",
            "The first weight of an item holds for all of its entries.",
            "a weight for each sample, where there is one for each entry",
            Cause.INNER_SIZE,
            reading(
                lambda m, at: np.broadcast_to(m.reshape(at.batch, -1)[:, :1], (at.batch, m.size // at.batch)).reshape(
                    m.shape
                ),
                2,
            ),
        ),
        Slip(
            "weights-of-the-first-batch",
            "The weights of the first batch hold for all that follow.",
            "a mask kept from set-up",
            Cause.STALE_BUFFER,
            instead(_WeightsOfSetup),
        ),
        Slip(
            "any-number-of-weights",
            "Weights in any number are accepted.",
            "layers that never count their third bottom",
            Cause.ACCEPTS,
            instead(_AnyCount),
        ),
    ),
)
