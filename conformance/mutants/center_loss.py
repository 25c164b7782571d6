"""What can be wrong in CenterLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, Blobs, Slip, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layer import pick_label
from refimpl.layers.center_loss import CenterLoss

__all__ = ["MUTANTS"]

Labels = NDArray[np.int64]


class _PerSample(CenterLoss):
    """Each sample adds its centre's whole update."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        samples = pick_label(labels, self.blobs[0].shape[0], 0).sum(1)
        return super()._update(slope, labels, weight) * np.expand_dims(samples, 1)


class _Overwritten(CenterLoss):
    """The centres' diff is set and not added to."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        self.blobs[0].diff[...] = 0
        super().backward(top, propagate_down, bottom)


class _Weighted(CenterLoss):
    """The centres' update carries the loss weight."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        return super()._update(slope, labels, weight) * weight


class _Unguarded(CenterLoss):
    """The update is divided by the samples, without the one more."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        samples = np.expand_dims(pick_label(labels, self.blobs[0].shape[0], 0).sum(1), 1)
        return super()._update(slope, labels, weight) * (samples + 1) / np.maximum(samples, 1)


class _Away(CenterLoss):
    """Centres are pushed away from their samples."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        return -super()._update(slope, labels, weight)


class _Frozen(CenterLoss):
    """Centres never learn."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        return 0 * super()._update(slope, labels, weight)


class _OneCentre(CenterLoss):
    """Every sample has the first centre's label."""

    def _labels(self, bottom: Blobs) -> Labels:
        return super()._labels(bottom) * 0


class _AllOfThem(CenterLoss):
    """Centres without samples are updated, too."""

    def _update(self, slope: Any, labels: Labels, weight: Any) -> Any:
        right = super()._update(slope, labels, weight)
        alone = pick_label(labels, self.blobs[0].shape[0], 0).sum(1) == 0
        return np.where(alone[:, None], -slope.sum(0) / (1 + len(labels)), right)


class _Implicit(CenterLoss):
    """The weight is 1 where none is given, as other losses have it."""

    implicit_weight = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.declared_weights = self.declared_weights or [1.0] + [0.0] * (len(top) - 1)


MUTANTS = mutants_of(
    "center_loss",
    CenterLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "once-a-sample",
            "A centre's diff takes its update once for each of its samples.",
            "a fork whose loop runs over samples: three samples, three times the update",
            Cause.UNNAMEABLE,
            instead(_PerSample),
        ),
        Slip(
            "centres-overwritten",
            "A second backward overwrites the centres' diffs and does not add to them.",
            "copies that set the diff with a factor of 0, so that iter_size loses updates",
            Cause.UNNAMEABLE,
            instead(_Overwritten),
        ),
        Slip(
            "centres-weighted",
            "The centres' update is scaled by the loss weight.",
            "a reading of the update as a derivative",
            Cause.UNNAMEABLE,
            instead(_Weighted),
        ),
        Slip(
            "mean-of-samples",
            "A centre's update is the mean of its samples, without the one more in the denominator.",
            "the paper's formula without its guard",
            Cause.UNNAMEABLE,
            instead(_Unguarded),
        ),
        Slip("centres-pushed", "Centres move away from their samples.", "classic slip", Cause.SIGN, instead(_Away)),
        Slip(
            "centres-frozen",
            "The centres never learn.",
            "a port whose update operation was never run",
            Cause.GRADIENT_MISSING,
            instead(_Frozen),
        ),
        Slip(
            "one-centre",
            "Every sample is drawn to the first centre.",
            "labels that were read from another blob",
            Cause.UNNAMEABLE,
            instead(_OneCentre),
        ),
        Slip(
            "absent-classes-updated",
            "Centres of classes that are not in the batch move as well.",
            "a dense update",
            Cause.UNNAMEABLE,
            instead(_AllOfThem),
        ),
        Slip(
            "half-forgotten",
            "The loss is the squared distance over N, without the half.",
            "ports whose reported value is twice the paper's",
            Cause.FACTOR_2,
            loss(lambda x, at: 2 * x),
        ),
        Slip(
            "implicit-weight-one",
            "Without a loss_weight it weighs 1.",
            "the weight that every loss layer of BVLC Caffe has by itself",
            Cause.IMPLICIT_WEIGHT,
            instead(_Implicit),
        ),
    ),
)
