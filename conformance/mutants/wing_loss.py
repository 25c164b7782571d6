"""What can be wrong in WingLoss."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, At, Blobs, Slip, Values, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.wing_loss import WingLoss

__all__ = ["MUTANTS"]


class _Fixed(WingLoss):
    """w and epsilon are the defaults, whatever the net says."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.width, self.epsilon = 10.0, 2.0


class _EpsilonTwice(WingLoss):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.epsilon *= 2


class _Implicit(WingLoss):
    """The weight is 1 where none is given, as other losses have it."""

    implicit_weight = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.declared_weights = self.declared_weights or [1.0]


def _difference(at: At, like: Values) -> Any:
    return (at.bottom[0].wide - at.bottom[1].wide.reshape(at.bottom[0].shape)).reshape(like.shape)


def _without_constant(x: Values, at: At) -> Values:
    """The far branch is |d|, so that the loss jumps at w."""
    far = np.absolute(at.bottom[0].wide - at.bottom[1].wide.reshape(at.bottom[0].shape)) >= at.layer.width
    constant = at.layer.width - at.layer.width * np.log1p(at.layer.width / at.layer.epsilon)
    return x + far.sum() * constant / at.batch


def _linear(x: Values, at: At) -> Values:
    """The slope of an L1 loss near 0 as well."""
    return np.sign(_difference(at, x)) * at.top[0].wide_diff / at.batch


def _without_epsilon(x: Values, at: At) -> Values:
    size = np.absolute(_difference(at, x))
    return np.where((size < at.layer.width) & (size > 0), x * (size + at.layer.epsilon) / np.maximum(size, 1e-3), x)


def _log_everywhere(x: Values, at: At) -> Values:
    size = np.absolute(_difference(at, x))
    far = size >= at.layer.width
    return np.where(far, x * at.layer.width / (size + at.layer.epsilon), x)


def _signless(x: Values, at: At) -> Values:
    return np.absolute(x)


MUTANTS = mutants_of(
    "wing_loss",
    WingLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "constant-forgotten",
            "The far branch lacks its constant, so that the loss jumps at w.",
            "the paper's formula copied without C",
            Cause.UNNAMEABLE,
            loss(_without_constant),
        ),
        Slip(
            "gradient-of-l1",
            "The gradient is the sign near 0 as well.",
            "an L1 layer with another forward",
            Cause.UNNAMEABLE,
            gradient(_linear),
        ),
        Slip(
            "epsilon-missing",
            "The gradient near 0 is divided by |d| and not by |d| + epsilon.",
            "classic slip",
            Cause.UNNAMEABLE,
            gradient(_without_epsilon),
        ),
        Slip(
            "logarithm-everywhere",
            "The gradient has the near branch beyond w, too.",
            "classic slip",
            Cause.UNNAMEABLE,
            gradient(_log_everywhere),
        ),
        Slip("signless", "The gradient has no sign.", "a slope of |d|", Cause.SIGN, gradient(_signless)),
        Slip(
            "parameters-fixed",
            "w and epsilon are 10 and 2, whatever the net says.",
            "constants of the paper in the code",
            Cause.OPTION_IGNORED,
            instead(_Fixed),
        ),
        Slip("epsilon-doubled", "epsilon is taken twice.", "classic slip", Cause.UNNAMEABLE, instead(_EpsilonTwice)),
        Slip(
            "implicit-weight-one",
            "Without a loss_weight it weighs 1.",
            "the weight that every loss layer of BVLC Caffe has by itself",
            Cause.IMPLICIT_WEIGHT,
            instead(_Implicit),
        ),
        Slip(
            "mean-of-entries",
            "Loss and gradient are divided by the number of entries and not by the batch size.",
            "ports whose losses are means over all entries",
            Cause.INNER_SIZE,
            lambda layer: gradient(lambda x, at: x / at.entries)(loss(lambda x, at: x / at.entries)(layer)),
        ),
    ),
)
