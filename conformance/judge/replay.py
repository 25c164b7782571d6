"""Replay: the reference's net, run again on the blobs an implementation reports, layer by layer.

Every layer is evaluated in float64 with its running error, at the bottom data and top diffs that the implementation
itself had; what it reports for a blob is compared once the last layer that writes the blob has run, and then takes the
reference's place. So errors do not pile up along a net, a difference names its layer, and a blob that is not reported
keeps the reference's value and its bound. An in-place layer is compared together with the layer that made its blob.
What has no bottoms is given by the case and stays what the case gave, whatever is reported for it. The parts of an
inserted Split need not be reported: then whoever writes their gradients is judged by the sum that they go into.

An outcome is the state after the last pass, and on request after each. A state is compared blob by blob in the last
forward and the last backward before it; what runs before runs on the reference's own values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.contract.aspect import Aspect
from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome
from conformance.judge.reference import build, run_steps
from refimpl.backward_plan import Node
from refimpl.blob import Blob
from refimpl.dialect import Dialect
from refimpl.layer import Layer
from refimpl.net import Net
from refimpl.running_error import Approx, Rounding
from refimpl.splits import is_inserted

__all__ = ["Comparison", "diffs_written", "learnt_by", "replay"]


@dataclass(frozen=True)
class Comparison:
    """One reported array beside the reference's value and bound.

    ``blob`` says which state it is of where that is not the last: "x after pass 1". ``node`` is the layer that answers
    for it, None for the net; ``weights`` are those held in that layer's tops' diffs.
    """

    aspect: Aspect
    blob: str
    node: Node | None
    got: Array
    want: Approx
    weights: frozenset[float] = frozenset()

    @property
    def layer(self) -> str | None:
        return None if self.node is None else self.node.name

    @property
    def layer_type(self) -> str:
        return "net" if self.node is None else self.node.type


def replay(
    case: Case,
    outcome: Outcome,
    dialect: Dialect,
    rounding: Rounding,
    settled: bool = True,
    layers: Mapping[str, type[Layer]] | None = None,
) -> tuple[Net, list[Comparison]]:
    """Everything the outcome reports, compared in the order in which it was computed; and the net it was compared with.

    Unless ``settled``, what is reported does not take the reference's place: layers run on the reference's own values.
    ``layers`` replaces the class of a layer type.

    Raises `NetError` where the reference refuses the case in this dialect, or a layer refuses what the outcome feeds it
    (a label that is no class, say).
    """
    net = build(case, dialect=dialect, dtype=rounding, layers=layers)
    run = _Replay(net, case, outcome, settled)
    run_steps(net, case, run.forward, run.backward, run.after)
    return net, run.comparisons


@dataclass
class _State:
    """What an answer says of the net after a pass, and what of it has been compared; ``when`` is "" for the last."""

    outcome: Outcome
    when: str
    data: set[str] = field(default_factory=set)
    diff: set[str] = field(default_factory=set)


def _states(case: Case, outcome: Outcome) -> dict[int, _State]:
    """The states that an answer tells, by the index of their pass."""
    last = len(case.sequence) - 1
    told = outcome.passes[:last] if len(outcome.passes) == last + 1 else ()
    return {**{i: _State(one, f" after pass {i + 1}") for i, one in enumerate(told)}, last: _State(outcome, "")}


class _Replay:
    def __init__(self, net: Net, case: Case, outcome: Outcome, settled: bool) -> None:
        self.net = net
        self.settled = settled
        self.outcome = outcome
        self.comparisons: list[Comparison] = []
        self.passes = case.sequence
        self.states = _states(case, outcome)
        self.index = 0
        self.forwards = 0
        self.last_data_writer = {top: node for node in net.layers for top in node.tops}
        self.last_diff_writer = {blob: node for node in reversed(net.layers) for blob in diffs_written(node)}

    def forward(self, net: Net) -> Any:
        if not net.layers:
            return net.forward()
        self.forwards += 1
        state = self._state_of_this_forward()
        total = self.net.zeros(1).reshape(())
        for node in net.layers:
            net.forward_layer(node)
            for top in node.tops:
                if state is not None and self.last_data_writer[top] is node:
                    self._settle_data(state, top, node)
            for blob, weight in zip(net.tops_of(node), node.loss_weights, strict=True):
                if weight != 0:
                    total = total + _weighted(blob)
        return total

    def _state_of_this_forward(self) -> _State | None:
        """The state that holds what this forward computes; None where another forward runs before the next state."""
        if self.forwards < self.passes[self.index].steps.count("forward"):
            return None
        for index in range(self.index, len(self.passes)):
            if index > self.index and "forward" in self.passes[index].steps:
                return None
            if index in self.states:
                return self.states[index]
        return None

    def backward(self, net: Net, last: bool) -> None:
        state = self.states.get(self.index) if last else None
        for node in reversed(net.layers):
            net.backward_layer(node)
            if state is not None:
                for blob in dict.fromkeys(diffs_written(node)):
                    if self.last_diff_writer[blob] is node:
                        self._settle_diff(state, blob, node)

    def after(self, index: int, trace: list[Any]) -> None:
        """Compare what the steps before a state have not settled: data that an earlier state had already, diffs that
        are no gradients, the parameters' diffs and the net's loss."""
        state = self.states.get(index)
        if state is not None:
            self._compare_rest(state, trace)
        if index == len(self.passes) - 1:
            self._compare_trace(trace)
        self.index, self.forwards = index + 1, 0

    def _compare_rest(self, state: _State, trace: list[Any]) -> None:
        if self.index > 0 and "forward" not in self.passes[self.index].steps:
            for name in [name for name in state.outcome.data if name in self.net.blobs and name not in state.data]:
                node = self.last_data_writer[name]
                aspect: Aspect = "input" if node.type == "Input" else "forward"
                self._compare(state, aspect, name, node, state.outcome.data[name], self.net.blobs[name].data)
        for name, got in state.outcome.diff.items():
            if name in self.net.blobs and name not in state.diff:
                node = self.last_diff_writer.get(name) or self.last_data_writer[name]
                self._compare(state, self._aspect_of_diff(name), name, node, got, self.net.blobs[name].diff)
        learnt = [diff for node in self.net.layers for diff in learnt_by(node)] if self._ran_backward() else []
        owners = {node.name: node for node in self.net.layers}
        for layer, arrays in state.outcome.param_diff.items():
            for i, (got, blob) in enumerate(zip(arrays, self.net.params.get(layer, ()), strict=False)):
                asked = any(np.may_share_memory(blob.diff.value, diff.value) for diff in learnt)
                aspect = "parameter" if asked else "unasked"
                self._compare(state, aspect, f"{layer}[{i}]", owners[layer], got, blob.diff)
        if state.when and isinstance(trace[-1], Approx):
            self._compare(state, "total", "total", None, np.asarray(state.outcome.loss), trace[-1])

    def _ran_backward(self) -> bool:
        return any("backward" in one.steps for one in self.passes[: self.index + 1])

    def _aspect_of_diff(self, name: str) -> Aspect:
        if self.net.loss_weights.get(name, 0.0) != 0:
            return "weight"
        return "backward" if self._ran_backward() and name in self.last_diff_writer else "unasked"

    def _compare_trace(self, trace: list[Any]) -> None:
        """What the last forward returned, and what those before it did, where the answer tells."""
        forwards = [i for i, step in enumerate(step for one in self.passes for step in one.steps) if step == "forward"]
        told, last = self.outcome.loss_trace or (), self.states[len(self.passes) - 1]
        for i in forwards[:-1] if len(told) == len(trace) else ():
            self._compare(last, "total", f"total after step {i + 1}", None, np.asarray(told[i]), trace[i])
        if forwards:
            self._compare(last, "total", "total", None, np.asarray(self.outcome.loss), trace[-1])

    def _settle_data(self, state: _State, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = state.outcome.data.get(name)
        if got is None:
            return
        state.data.add(name)
        self._compare(state, "input" if node.type == "Input" else "forward", name, node, got, blob.data)
        if self.settled and got.size == blob.count and node.bottoms:
            blob.data[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _settle_diff(self, state: _State, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = state.outcome.diff.get(name)
        if got is None:
            return
        state.diff.add(name)
        self._compare(state, "backward", name, node, got, blob.diff)
        for writer in self._unreported_parts(state, node):
            self._compare(state, "backward", name, writer, got, blob.diff)
        if self.settled and got.size == blob.count:
            blob.diff[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _unreported_parts(self, state: _State, node: Node) -> list[Node]:
        """Who writes the gradients of an inserted Split's tops, of those that are not reported."""
        if node.type != "Split" or not is_inserted(node.name, node.tops):
            return []
        parts = (top for top in node.tops if top not in state.outcome.diff and top in self.last_diff_writer)
        return list({writer.name: writer for writer in map(self.last_diff_writer.__getitem__, parts)}.values())

    def _compare(self, state: _State, aspect: Aspect, name: str, node: Node | None, got: Array, want: Approx) -> None:
        weights = frozenset() if node is None else frozenset(w for top in self.net.tops_of(node) for w in _uniform(top))
        wide = np.asarray(got, dtype=np.float64)
        self.comparisons.append(Comparison(aspect, f"{name}{state.when}", node, wide, want.copy(), weights))


def diffs_written(node: Node) -> Iterator[str]:
    """The blobs whose gradient this layer writes when it runs backward."""
    if node.need_backward:
        yield from (name for name, needed in zip(node.bottoms, node.bottom_need_backward, strict=True) if needed)


def learnt_by(node: Node) -> Iterator[Approx]:
    """The parameter diffs that this layer adds to when it runs backward; shared ones are others' too."""
    if node.need_backward:
        yield from (
            blob.diff for blob, asked in zip(node.layer.blobs, node.layer.param_propagate_down, strict=True) if asked
        )


def _uniform(top: Blob) -> list[float]:
    """The one value that all of the top's diff has, as a weight has."""
    values = top.diff.value.ravel()
    alike = values.size and ((values == values[0]).all() or np.isnan(values).all())
    return [float(values[0])] if alike else []


def _weighted(blob: Blob) -> Approx:
    terms: Approx = blob.data * blob.diff
    return terms.total(terms.value.sum(), tuple(range(terms.ndim)))
