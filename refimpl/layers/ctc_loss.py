"""CtcLoss: the likelihood of a sequence of labels over all its alignments (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, log_added, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer, pick_label
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, MessageClass, int32

__all__ = ["CtcLoss"]

_CTC = "jolibrain/caffe@23928c02 src/caffe/layers/ctc_loss_layer.cpp"
SCRATCH = "ctc-scratch"


class CtcLossParameter(Message):
    alphabet_size: int = int32()
    time_step: int = int32()
    blank_label: int = int32()


class CtcLoss(LossLayer):
    """``L = -sum_n log P(labels_n) / N``, P the probability of all paths that spell the labels.

    Bottom 0: activations of shape (T, N, C), C the ``alphabet_size``; their softmax over C is the probability of a
    symbol at a time. Bottom 1: truncated labels of shape (N, L), blanks left out. A path spells what is left of it
    when repeated symbols are merged and blanks (``blank_label``) dropped; it has ``time_step`` symbols. Labels that
    no path can spell cost 0. ``dL/dx_tk = w (p_tk - P(symbol k at time t | labels))``, w the top's diff: without the
    1/N (a departure). No kinks.

    The forks leave that gradient, without w, in the bottom's diff during forward and scale it there in backward.
    """

    type = "CtcLoss"
    items_axis = 1
    messages: ClassVar[Mapping[str, MessageClass]] = {"ctc_loss_param": CtcLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("ctc", _CTC),)
    quirks = (
        Quirk(
            SCRATCH,
            "CtcLoss leaves its gradient in the bottom's diff during forward and scales it there in backward: a second "
            "backward applies the weight twice, and without a backward it leaks into the gradients of a blob shared "
            "with other layers",
            "forward leaves diffs alone and backward depends on data and top diff only",
            f"{_CTC} Forward_cpu, Backward_cpu; include/caffe/layer.hpp Backward",
        ),
    )
    departures = (
        Departure(
            "ctc-batch-missing",
            "the batch holds more than one sequence",
            "the gradient lacks the 1/N of the loss",
            f"{_CTC} Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        param = self.own["ctc_loss_param"]
        for name in ("alphabet_size", "time_step"):
            if getattr(param, name) <= 0:
                raise LayerError(f"{name} is {getattr(param, name)}", "it has to be greater than 0")
        self.alphabet: int = param.alphabet_size
        self.times: int = param.time_step
        self.blank: int = param.blank_label
        self.seen: list[NDArray[Any]] | None = None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x, y = bottom
        if x.num_axes < 2 or y.num_axes < 2 or x.shape[1] != y.shape[0]:
            raise LayerError(
                f"activations of shape {x.shape} and labels of shape {y.shape} do not belong together",
                "(T, N, C) needs labels (N, L)",
            )
        if x.count != x.shape[0] * x.shape[1] * self.alphabet or x.shape[0] < self.times:
            raise LayerError(
                f"activations of shape {x.shape} for {self.times} times and {self.alphabet} symbols",
                "(T, N, C) with C the alphabet_size and T the time_step at least",
            )
        top[0].reshape()

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        lattice = self._lattice(bottom)
        costs = np.where(lattice.possible, -lattice.total(lattice.reached()), 0.0)
        top[0].data[...] = exact_sum(costs) / len(costs)
        if SCRATCH in self.dialect.taken:
            bottom[0].diff[...] = self._gradient(bottom)
        self.seen = _state(bottom)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if not propagate_down[0]:
            return
        stale = self.seen is None or not all(map(np.array_equal, self.seen, _state(bottom)))
        left = stale and self.dialect.takes(SCRATCH)
        gradient = bottom[0].wide_diff if left else self._gradient(bottom)
        weight, sequences = top[0].wide_diff, bottom[0].shape[1]
        if sequences > 1 and self.dialect.derivative("ctc-batch-missing"):
            weight = weight / sequences
        bottom[0].diff[...] = weighted(gradient, weight)
        self.seen = None

    @property
    def unsettled(self) -> frozenset[str]:
        return frozenset() if self.seen is None else frozenset({SCRATCH})

    def _activations(self, bottom: Sequence[Blob]) -> Any:
        x = bottom[0]
        return x.wide.reshape(x.shape[0], x.shape[1], self.alphabet)[: self.times]

    def _labels(self, bottom: Sequence[Blob]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each sequence's labels, those that are blank moved to the end, and how many are not.

        Raises `LayerError` for one that is no symbol, and where all are blank.
        """
        rows = bottom[1].integers().reshape(bottom[1].shape[0], -1)
        wrong = rows[(rows < 0) | (rows >= self.alphabet)]
        if wrong.size:
            raise LayerError(f"label {wrong[0]} is outside 0..{self.alphabet - 1}", "labels are symbols from 0")
        order = np.argsort(rows == self.blank, axis=1, kind="stable")
        counts = (rows != self.blank).sum(1)
        if not counts.any():
            raise LayerError("no sequence has a label that is not blank", "give at least one")
        return np.take_along_axis(rows, order, 1)[:, : counts.max()], counts

    def _lattice(self, bottom: Sequence[Blob]) -> _Lattice:
        labels, counts = self._labels(bottom)
        states = np.full((len(labels), 2 * labels.shape[1] + 1), self.blank)
        states[:, 1::2] = labels
        logs = log_softmax(self._activations(bottom), 2)
        return _Lattice(states, 2 * counts + 1, self.blank, logs)

    def _gradient(self, bottom: Sequence[Blob]) -> Any:
        """Each sequence's own gradient, in the shape of the activations."""
        lattice, p = self._lattice(bottom), softmax(self._activations(bottom), 2)
        slope = np.where(lattice.possible.reshape(-1, 1), p - lattice.shares(), 0.0)
        whole = bottom[0].wide.reshape(bottom[0].shape[0], -1, self.alphabet) * 0.0
        whole[: self.times] = slope
        return whole.reshape(bottom[0].shape)


class _Sums:
    """Logarithms of sums, of shape (N, S); where nothing is added up there is none, and ``some`` is false."""

    def __init__(self, values: Any, some: NDArray[np.bool_]) -> None:
        self.values, self.some = values, some

    def __add__(self, other: _Sums) -> _Sums:
        """The logarithm of the sum of what both are logarithms of."""
        alone = np.where(self.some, self.values, other.values)
        added = log_added(self.values, other.values)
        return _Sums(np.where(self.some & other.some, added, alone), self.some | other.some)

    def shifted(self, by: int) -> _Sums:
        """Each state has what the one ``by`` before it had."""
        if abs(by) >= self.values.shape[1]:
            return _Sums(self.values * 0.0, np.zeros_like(self.some))
        edge, open_ = self.values[:, : abs(by)] * 0.0, np.zeros_like(self.some[:, : abs(by)])
        if by > 0:
            return _Sums(
                np.concatenate([edge, self.values[:, :-by]], 1), np.concatenate([open_, self.some[:, :-by]], 1)
            )
        return _Sums(np.concatenate([self.values[:, -by:], edge], 1), np.concatenate([self.some[:, -by:], open_], 1))

    def where(self, kept: NDArray[np.bool_]) -> _Sums:
        return _Sums(self.values, self.some & kept)


class _Lattice:
    """The paths that spell each sequence's labels: through its states, the first ``counts`` of ``states``, (N, S).

    ``logs`` are the logarithms of the symbols' probabilities, (T, N, C).
    """

    def __init__(self, states: NDArray[np.int64], counts: NDArray[np.int64], blank: int, logs: Any) -> None:
        self.states, self.counts, self.logs = states, counts, logs
        places = np.arange(states.shape[1])
        self.open = places < counts[:, None]
        self.first = self.open & (places < 2)
        self.last = self.open & (places >= counts[:, None] - 2)
        differs = np.zeros(states.shape, bool)
        differs[:, 2:] = states[:, 2:] != states[:, :-2]
        self.skips = differs & (states != blank) & self.open
        repeated = ~differs & (places % 2 == 1) & (places > 1) & self.open
        self.possible = (counts - 1) // 2 + repeated.sum(1) <= len(logs)

    def emitted(self, t: int) -> Any:
        """The logarithm of the probability of each state's symbol at time t."""
        return np.take_along_axis(self.logs[t], self.states, 1)

    def reached(self) -> list[_Sums]:
        """For every time, of all paths to a state."""
        found = [_Sums(self.emitted(0), self.first)]
        for t in range(1, len(self.logs)):
            before = found[-1]
            ways = before + before.shifted(1) + before.shifted(2).where(self.skips)
            found.append(_Sums(ways.values + self.emitted(t), ways.some & self.open))
        return found

    def left(self) -> list[_Sums]:
        """For every time, of all paths from a state to the end."""
        found = [_Sums(self.emitted(len(self.logs) - 1), self.last)]
        for t in range(len(self.logs) - 2, -1, -1):
            after = found[0]
            ways = after + after.shifted(-1) + after.where(self.skips).shifted(-2)
            found.insert(0, _Sums(ways.values + self.emitted(t), ways.some & self.open))
        return found

    def total(self, reached: list[_Sums]) -> Any:
        """log P(labels) of each sequence; whatever where no path spells them."""
        ends = reached[-1].where(self.last)
        both = ends + ends.shifted(1)
        return np.squeeze(np.take_along_axis(both.values, self.counts[:, None] - 1, 1), 1)

    def shares(self) -> Any:
        """How likely each symbol is at each time, given the labels: (T, N, C)."""
        reached, left = self.reached(), self.left()
        total = np.expand_dims(self.total(reached), 1)
        hot = pick_label(self.states, self.logs.shape[2], 2)
        found = []
        for t, (to, onward) in enumerate(zip(reached, left, strict=True)):
            through = to.some & onward.some & self.possible[:, None]
            way = np.where(through, to.values + onward.values - self.emitted(t) - total, 0.0 * to.values)
            share = np.where(through, np.exp(way), 0.0 * to.values)
            found.append(exact_sum(np.expand_dims(share, 2) * hot, 1))
        return np.stack(found)


def _state(bottom: Sequence[Blob]) -> list[NDArray[Any]]:
    """What backward depends on: activations, labels, and the bottom's diff."""
    return [value_of(bottom[0].data).copy(), bottom[1].integers(), value_of(bottom[0].diff).copy()]
