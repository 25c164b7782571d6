"""What can be wrong in CtcLoss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.slips import (
    REWRITTEN,
    Alter,
    At,
    Blobs,
    Slip,
    instead,
    loss,
    mutants_of,
    reading,
)
from conformance.record.cause import Cause
from refimpl.layers.ctc_loss import CtcLoss, _Lattice

__all__ = ["MUTANTS"]


def _on(change: Any) -> Alter:
    """The lattice changed after it is made."""

    class Wrong(CtcLoss):
        def _lattice(self, bottom: Blobs) -> _Lattice:
            lattice = super()._lattice(bottom)
            change(lattice)
            return lattice

    return instead(Wrong)


def _no_skips(lattice: _Lattice) -> None:
    lattice.skips = np.zeros_like(lattice.skips)


def _always_skips(lattice: _Lattice) -> None:
    symbols = np.arange(lattice.states.shape[1]) % 2 == 1
    lattice.skips = lattice.open & symbols & (np.arange(lattice.states.shape[1]) > 1)


def _begins_blank(lattice: _Lattice) -> None:
    lattice.first = lattice.first & (np.arange(lattice.states.shape[1]) == 0)


def _ends_blank(lattice: _Lattice) -> None:
    lattice.last = lattice.open & (np.arange(lattice.states.shape[1]) == lattice.counts[:, None] - 1)


class _BlankIsLast(CtcLoss):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.blank = self.alphabet - 1


class _BlankIsFirst(CtcLoss):
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.blank = 0


class _CutAtBlank(CtcLoss):
    """Labels end at their first blank."""

    def _labels(self, bottom: Blobs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = bottom[1].integers().reshape(bottom[1].shape[0], -1)
        ended = np.cumsum(rows == self.blank, axis=1) > 0
        copy = self.context.blob(*bottom[1].shape)
        copy.data[...] = np.where(ended, self.blank, rows).reshape(copy.shape)
        return super()._labels([bottom[0], copy])


class _AllTimes(CtcLoss):
    """time_step is not read: all times of the bottom count."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.times = bottom[0].shape[0]


class _OfPossible(CtcLoss):
    """The mean is over the sequences that can be spelled."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        possible = self._lattice(bottom).possible
        top[0].data[...] = top[0].wide * len(possible) / max(1, possible.sum())


class _Infinite(CtcLoss):
    """What cannot be spelled costs infinitely much."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if not self._lattice(bottom).possible.all():
            top[0].data[...] = np.inf


class _Unspelled(CtcLoss):
    """The gradient of what cannot be spelled is the softmax."""

    def _gradient(self, bottom: Blobs) -> Any:
        lattice = self._lattice(bottom)
        lattice_free = np.where(lattice.possible.reshape(-1, 1), 0.0, np.exp(lattice.logs))
        found = super()._gradient(bottom)
        found[: self.times] = found[: self.times] + lattice_free.reshape(found[: self.times].shape)
        return found


class _Best(CtcLoss):
    """The likeliest path in place of all of them, in the loss."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        lattice = self._lattice(bottom)
        reached = [np.where(lattice.first, lattice.emitted(0), -np.inf)]
        for t in range(1, len(lattice.logs)):
            before = reached[-1]
            ways = [before]
            for by in (1, 2):
                way = np.full(before.shape, -np.inf)
                way[:, by:] = before[:, : max(before.shape[1] - by, 0)]
                ways.append(way if by == 1 else np.where(lattice.skips, way, -np.inf))
            reached.append(np.where(lattice.open, np.maximum.reduce(ways) + lattice.emitted(t), -np.inf))
        costs = -np.where(lattice.last, reached[-1], -np.inf).max(1)
        top[0].data[...] = np.where(lattice.possible, costs, 0.0).mean()


def _rounded(x: Any, at: At) -> Any:
    return np.trunc(x + 0.5)


MUTANTS = mutants_of(
    "ctc_loss",
    CtcLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "blank-never-skipped",
            "Between two symbols there has to be a blank.",
            "classic slip",
            Cause.UNNAMEABLE,
            _on(_no_skips),
        ),
        Slip(
            "blank-always-skipped",
            "A blank between two equal symbols may be left out.",
            "classic slip",
            Cause.UNNAMEABLE,
            _on(_always_skips),
        ),
        Slip(
            "begins-with-blank",
            "A path begins with a blank.",
            "classic slip",
            Cause.UNNAMEABLE,
            _on(_begins_blank),
        ),
        Slip("ends-with-blank", "A path ends with a blank.", "classic slip", Cause.UNNAMEABLE, _on(_ends_blank)),
        Slip(
            "blank-is-last",
            "The blank is the last symbol of the alphabet.",
            "the other CTC layer, whose blank is the last one",
            Cause.UNNAMEABLE,
            instead(_BlankIsLast),
        ),
        Slip(
            "blank-not-read",
            "The blank is symbol 0, whatever blank_label says.",
            "bindings that leave the option out",
            Cause.OPTION_IGNORED,
            instead(_BlankIsFirst),
        ),
        Slip(
            "labels-end-at-blank",
            "Labels end at their first blank.",
            "labels that are padded and not filtered",
            Cause.UNNAMEABLE,
            instead(_CutAtBlank),
        ),
        Slip(
            "times-not-read",
            "All times count, whatever time_step says.",
            "bindings that take the length from the shape",
            Cause.UNNAMEABLE,
            instead(_AllTimes),
        ),
        Slip(
            "mean-of-the-possible",
            "What cannot be spelled is not counted in the mean.",
            "the other warp-ctc layer, whose mean is over finite costs",
            Cause.UNNAMEABLE,
            instead(_OfPossible),
        ),
        Slip(
            "impossible-infinite",
            "What cannot be spelled costs infinitely much.",
            "a CTC loss without zero_infinity",
            Cause.UNNAMEABLE,
            instead(_Infinite),
        ),
        Slip(
            "impossible-trained",
            "What cannot be spelled has the softmax for its gradient.",
            "classic slip",
            Cause.UNNAMEABLE,
            instead(_Unspelled),
        ),
        Slip(
            "best-path",
            "The loss is that of the likeliest path, the gradient that of all.",
            "Viterbi in place of the sum",
            Cause.UNNAMEABLE,
            instead(_Best),
        ),
        Slip(
            "sum-of-sequences",
            "The loss is the sum over the sequences.",
            "bindings that return one cost for each",
            Cause.BATCH_RATIO,
            loss(lambda x, at: x * at.batch),
        ),
        Slip(
            "labels-rounded",
            "Labels are rounded and not cut off.",
            "the other CTC layer, which adds a half",
            Cause.TRUNCATION,
            reading(_rounded, 1),
        ),
    ),
)
