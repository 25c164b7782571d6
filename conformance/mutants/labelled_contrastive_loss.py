"""What can be wrong in ContrastiveLoss of labelled items, beside what its formula shares with the loss of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, Blobs, Slip, control, instead, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.labelled_contrastive_loss import LabelledContrastiveLoss as Right

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"
Flags = NDArray[np.bool_]
Alike = Callable[[Any, Any], Any]


def _read(bottom: Blobs) -> tuple[Any, Any]:
    """The two labels of each pair, as they are held."""
    first, second = (blob.data.ravel()[: bottom[0].num].astype(np.float64) for blob in bottom[2:4])
    return first, second


def _alike(of_loss: Alike, of_gradient: Alike | None = None) -> Alter:
    """Another choice of the pairs that are alike, or one for each pass."""

    class Wrong(Right):
        rule = staticmethod(of_loss)

        def forward(self, bottom: Blobs, top: Blobs) -> None:
            self.rule = of_loss
            super().forward(bottom, top)

        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            self.rule = of_gradient or of_loss
            super().backward(top, propagate_down, bottom)

        def similar(self, bottom: Blobs) -> Flags:
            super().similar(bottom)  # which refuses too few labels
            return np.asarray(self.rule(*_read(bottom)), dtype=bool)

    return instead(Wrong)


def _right(y: Any, v: Any) -> Any:
    return np.trunc(y) == np.trunc(v)


class _KeptLabels(Right):
    """Who is alike is found out once."""

    kept: Flags

    def similar(self, bottom: Blobs) -> Flags:
        if not hasattr(self, "kept") or len(self.kept) != bottom[0].num:
            self.kept = super().similar(bottom)
        return self.kept


class _PushWithoutOffset(Right):
    """Dissimilar pairs are pushed as far as they are inside the margin, whatever their distance."""

    def _push(self, measure: Any, inside: Flags) -> Any:
        return super()._push(measure, inside) if self.legacy else np.maximum(self.margin - measure, 0.0)


class _MarginOfSquares(Right):
    def _measure(self, squared: Any) -> Any:
        return squared


class _LegacyUnread(Right):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.legacy = False


class _MarginUnread(Right):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.margin = 1.0


MUTANTS = mutants_of(
    "labelled_contrastive_loss",
    Right,
    (
        *COMMON,
        control(_alike(_right)),
        Slip(
            "label-compared-with-itself",
            "Backward compares the first label with itself: every pair is pulled together.",
            "a fork's backward, which read bottom[2] twice",
            Cause.UNNAMEABLE,
            _alike(_right, lambda y, v: y == y),
        ),
        Slip(
            "first-label-is-the-similarity",
            "The third bottom is read as a similarity, and the fourth not at all.",
            "Caffe's own layer, given a fork's bottoms",
            Cause.UNNAMEABLE,
            _alike(lambda y, v: np.trunc(y) != 0),
        ),
        Slip(
            "unlike-is-alike",
            "Pairs with equal labels are pushed apart, others pulled together.",
            "a similarity and a difference mixed up",
            Cause.SIGN,
            _alike(lambda y, v: ~_right(y, v)),
        ),
        Slip(
            "labels-not-truncated",
            "Labels are compared as they are held.",
            "layers that compare labels as floats",
            Cause.TRUNCATION,
            _alike(lambda y, v: y == v),
        ),
        Slip(
            "labels-rounded",
            "Labels are rounded before they are compared.",
            CLASSIC,
            Cause.TRUNCATION,
            _alike(lambda y, v: np.rint(y) == np.rint(v)),
        ),
        Slip(
            "labels-of-eight-bits",
            "Labels are compared modulo 256.",
            "labels of an image database, stored in a byte",
            Cause.TRUNCATION,
            _alike(lambda y, v: np.mod(np.trunc(y), 256) == np.mod(np.trunc(v), 256)),
        ),
        Slip(
            "negative-labels-unlike",
            "A pair with a negative label is never alike.",
            "a negative label taken for one that is not known",
            Cause.TRUNCATION,
            _alike(lambda y, v: _right(y, v) & (np.trunc(y) >= 0)),
        ),
        Slip(
            "label-0-unlike",
            "A pair is alike only where its label is not 0.",
            "a product of labels in place of a comparison",
            Cause.TRUNCATION,
            _alike(lambda y, v: _right(y, v) & (np.trunc(y) != 0)),
        ),
        Slip(
            "labels-of-the-first-batch",
            "Which pairs are alike is found out in the first batch.",
            "a similarity kept from set-up",
            Cause.STALE_BUFFER,
            instead(_KeptLabels),
        ),
        Slip(
            "push-without-distance",
            "The push of a dissimilar pair lacks the division by its distance.",
            CLASSIC,
            Cause.UNNAMEABLE,
            instead(_PushWithoutOffset),
        ),
        Slip(
            "margin-of-squares",
            "The margin is held against the squared distance, in the loss of today as well.",
            "the loss that Caffe had before legacy_version",
            Cause.MARGIN,
            instead(_MarginOfSquares),
        ),
        Slip(
            "legacy-not-read",
            "legacy_version has no effect.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            instead(_LegacyUnread),
        ),
        Slip(
            "margin-not-read",
            "The margin is 1, whatever is set.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            instead(_MarginUnread),
        ),
    ),
)
