"""What can be wrong in SoftmaxWithLossOHEM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.logits import LOGITS
from conformance.mutants.slips import REWRITTEN, Alter, Blobs, Slip, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.pre_fixed import PreFixedNormalisation
from refimpl.layers.softmax_with_loss_ohem import SoftmaxWithLossOHEM

__all__ = ["MUTANTS"]


def _of_mode(change: Callable[[str], str]) -> Alter:
    """Another normalization than the one asked for."""

    class Wrong(SoftmaxWithLossOHEM):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            own = self.normalisation
            self.normalisation = replace(own, mode=change(own.mode))

    return instead(Wrong)


class _Unguarded(SoftmaxWithLossOHEM):
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        own = self.normalisation
        assert isinstance(own, PreFixedNormalisation)
        if own.mode == "PRE_FIXED" and own.pre_fixed < 1:
            top[0].data[...] = top[0].wide / own.pre_fixed
            self.cached = own.pre_fixed


class _Counting(SoftmaxWithLossOHEM):
    """Counts the ignored positions."""

    def divisor(self, counted: NDArray[np.bool_]) -> float:
        return super().divisor(np.ones_like(counted))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if self.normalisation.mode == "VALID":
            full = float(np.prod(self.positions))
            top[0].data[...] = top[0].wide * self.cached / full
            self.cached = full


class _IgnoredPushed(SoftmaxWithLossOHEM):
    def backward(self, top: Blobs, propagate_down: Any, bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            _, counted = self.read_labels(bottom)
            pushed = self.probability.wide * top[0].wide_diff / self.cached
            bottom[0].diff[...] = np.where(self.along_classes(counted), bottom[0].wide_diff, pushed)


MUTANTS = mutants_of(
    "softmax_with_loss_ohem",
    SoftmaxWithLossOHEM,
    (
        *COMMON,
        *(slip for slip in LOGITS if "softmax" not in slip.name and "maximum" not in slip.name),
        REWRITTEN,
        Slip(
            "pre-fixed-is-none",
            "PRE_FIXED divides by 1.",
            "formats in which the number 3 stands for NONE, and not for PRE_FIXED",
            Cause.NORMALISATION_MODE,
            _of_mode(lambda mode: "NONE" if mode == "PRE_FIXED" else mode),
        ),
        Slip(
            "always-valid",
            "VALID, whatever normalization says.",
            "a layer written for a format without the field",
            Cause.NORMALISATION_MODE,
            _of_mode(lambda mode: "VALID"),
        ),
        Slip(
            "batch-size-is-full",
            "BATCH_SIZE divides by all positions.",
            "classic slip",
            Cause.INNER_SIZE,
            _of_mode(lambda mode: "FULL" if mode == "BATCH_SIZE" else mode),
        ),
        Slip(
            "none-is-batch-size",
            "NONE divides by the batch size.",
            "classic slip",
            Cause.BATCH_RATIO,
            _of_mode(lambda mode: "BATCH_SIZE" if mode == "NONE" else mode),
        ),
        Slip(
            "pre-fixed-below-one",
            "A pre_fixed_normalizer below 1 is taken as it is.",
            "a normaliser that is held at 1 in some modes only",
            Cause.NORMALISATION_MODE,
            instead(_Unguarded),
        ),
        Slip(
            "valid-counts-ignored",
            "VALID divides by all positions.",
            "a valid count that counts everything",
            Cause.VALID_RATIO,
            instead(_Counting),
        ),
        Slip(
            "ignored-pushed",
            "Ignored positions get the gradient of a softmax without a label.",
            "an operator that honours its ignored label in forward alone",
            Cause.IGNORED_LABEL,
            instead(_IgnoredPushed),
        ),
        Slip(
            "other-loss",
            "A loss per position is the mean of the classes' and not the label's.",
            "classic slip",
            Cause.UNNAMEABLE,
            loss(lambda x, at: x + 1e-3),
        ),
    ),
)
