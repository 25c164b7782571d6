"""CtcLoss: the likelihood of a sequence of labels over all its alignments (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, MessageClass, int32

__all__ = ["CtcLoss"]

_CTC = "jolibrain/caffe@23928c02 src/caffe/layers/ctc_loss_layer.cpp"
SCRATCH = "ctc-scratch"
FLOOR = 1e-300
"""Below any probability that counts; only so that a logarithm is finite."""


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
        logs = log_softmax(self._activations(bottom), 2, FLOOR)
        costs = [-self._likelihood(logs[:, n], labels) for n, labels in enumerate(self._labels(bottom))]
        top[0].data[...] = exact_sum(np.stack(costs)) / len(costs)
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

    def _labels(self, bottom: Sequence[Blob]) -> list[list[int]]:
        """Each sequence's labels. Raises `LayerError` for one that is no symbol, and where there are none at all."""
        rows = bottom[1].integers().reshape(bottom[1].shape[0], -1)
        wrong = rows[(rows < 0) | (rows >= self.alphabet)]
        if wrong.size:
            raise LayerError(f"label {wrong[0]} is outside 0..{self.alphabet - 1}", "labels are symbols from 0")
        found = [[int(label) for label in row if label != self.blank] for row in rows]
        if not any(found):
            raise LayerError("no sequence has a label that is not blank", "give at least one")
        return found

    def _states(self, labels: Sequence[int]) -> list[int]:
        """The symbols with a blank before, between and after them."""
        return [symbol for label in labels for symbol in (self.blank, label)] + [self.blank]

    def _possible(self, labels: Sequence[int]) -> bool:
        return len(labels) + sum(a == b for a, b in pairwise(labels)) <= self.times

    def _before(self, states: Sequence[int], s: int) -> list[int]:
        """The states that may come before a state."""
        skips = s > 1 and states[s] != self.blank and states[s] != states[s - 2]
        return [s, *([s - 1] if s else []), *([s - 2] if skips else [])]

    def _paths(self, logs: Any, states: Sequence[int]) -> list[list[Any]]:
        """For every time and state the logarithm of the probability of all paths to it; None where there is none."""
        reached: list[list[Any]] = []
        for t in range(self.times):
            now: list[Any] = []
            for s, symbol in enumerate(states):
                ways = [reached[-1][b] for b in self._before(states, s)] if t else [logs[0, symbol] * 0.0] * (s < 2)
                total = _added([way for way in ways if way is not None])
                now.append(None if total is None else (logs[t, symbol] if t == 0 else total + logs[t, symbol]))
            reached.append(now)
        return reached

    def _likelihood(self, logs: Any, labels: Sequence[int]) -> Any:
        """log P(labels); 0 where no path spells them."""
        if not self._possible(labels):
            return logs[0, 0] * 0.0
        return _added([way for way in self._paths(logs, self._states(labels))[-1][-2:] if way is not None])

    def _gradient(self, bottom: Sequence[Blob]) -> Any:
        """Each sequence's own gradient, in the shape of the activations."""
        activations = self._activations(bottom)
        logs, found = log_softmax(activations, 2, FLOOR), softmax(activations, 2)
        for n, labels in enumerate(self._labels(bottom)):
            found[:, n] = self._slope(logs[:, n], labels, found[:, n])
        whole = bottom[0].wide.reshape(bottom[0].shape[0], -1, self.alphabet) * 0.0
        whole[: self.times] = found
        return whole.reshape(bottom[0].shape)

    def _slope(self, logs: Any, labels: Sequence[int], p: Any) -> Any:
        """p minus how likely each symbol is at each time, given the labels."""
        if not self._possible(labels):
            return p * 0.0
        states = self._states(labels)
        to = self._paths(logs, states)
        onward = [row[::-1] for row in self._paths(logs[::-1], states[::-1])][::-1]
        total = _added([way for way in to[-1][-2:] if way is not None])
        slope = p.copy()
        for t in range(self.times):
            for s, symbol in enumerate(states):
                if to[t][s] is not None and onward[t][s] is not None:
                    share = np.exp(to[t][s] + onward[t][s] - logs[t, symbol] - total)
                    slope[t, symbol] = slope[t, symbol] - share
        return slope


def _added(ways: Sequence[Any]) -> Any:
    """The logarithm of the sum of what these are logarithms of; None of nothing."""
    if not ways:
        return None
    largest = max(ways, key=lambda way: float(value_of(way)))
    total = sum((np.exp(way - largest) for way in ways if way is not largest), start=largest * 0.0)
    return largest + np.log1p(total)


def _state(bottom: Sequence[Blob]) -> list[NDArray[Any]]:
    """What backward depends on: activations, labels, and the bottom's diff."""
    return [value_of(bottom[0].data).copy(), bottom[1].integers(), value_of(bottom[0].diff).copy()]
