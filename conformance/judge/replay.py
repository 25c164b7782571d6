"""Replay: the reference's net, run again on the blobs an implementation reports, layer by layer.

Every layer is evaluated in float64 with its running error, at the bottom data and top diffs that the implementation
itself had; what it reports for a blob is compared once the last layer that writes the blob has run, and then takes the
reference's place. So errors do not pile up along a net, a difference names its layer, and a blob that is not reported
keeps the reference's value and its bound. An in-place layer is compared together with the layer that made its blob.

An outcome is the state after the last step, so only the last forward and the last backward pass are compared blob by
blob; the passes before them run on the reference's own values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

__all__ = ["Comparison", "replay"]


@dataclass(frozen=True)
class Comparison:
    """One reported array beside the reference's value and bound.

    ``node`` is the layer that answers for it, None for the net; ``weights`` are those held in that layer's tops' diffs.
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
    trace = run_steps(net, case, run.forward, run.backward)
    run.finish(trace)
    return net, run.comparisons


class _Replay:
    def __init__(self, net: Net, case: Case, outcome: Outcome, settled: bool) -> None:
        self.net = net
        self.settled = settled
        self.outcome = outcome
        self.comparisons: list[Comparison] = []
        self.compared_diff: set[str] = set()
        self.steps = case.steps
        self.forwards_to_come = case.steps.count("forward")
        self.ran_backward = "backward" in case.steps
        self.last_data_writer = {top: node for node in net.layers for top in node.tops}
        self.last_diff_writer = {blob: node for node in reversed(net.layers) for blob in _diffs_written(node)}

    def forward(self, net: Net) -> Any:
        if not net.layers:
            return net.forward()
        self.forwards_to_come -= 1
        total = self.net.zeros(1).reshape(())
        for node in net.layers:
            net.forward_layer(node)
            for top in node.tops:
                if self.forwards_to_come == 0 and self.last_data_writer[top] is node:
                    self._settle_data(top, node)
            for blob, weight in zip(net.tops_of(node), node.loss_weights, strict=True):
                if weight != 0:
                    total = total + _weighted(blob)
        return total

    def backward(self, net: Net, last: bool) -> None:
        for node in reversed(net.layers):
            net.backward_layer(node)
            if last:
                for blob in dict.fromkeys(_diffs_written(node)):
                    if self.last_diff_writer[blob] is node:
                        self._settle_diff(blob, node)

    def finish(self, trace: list[Any]) -> None:
        """Compare what no pass has settled: diffs that are no gradients, the parameters' diffs and the net's loss."""
        for name, got in self.outcome.diff.items():
            if name in self.net.blobs and name not in self.compared_diff:
                node = self.last_diff_writer.get(name) or self.last_data_writer[name]
                self._compare(self._aspect_of_diff(name), name, node, got, self.net.blobs[name].diff)
        learnt = [diff for node in self.net.layers for diff in _learnt(node)] if self.ran_backward else []
        owners = {node.name: node for node in self.net.layers}
        for layer, arrays in self.outcome.param_diff.items():
            for i, (got, blob) in enumerate(zip(arrays, self.net.params.get(layer, ()), strict=False)):
                asked = any(np.may_share_memory(blob.diff.value, diff.value) for diff in learnt)
                self._compare("parameter" if asked else "unasked", f"{layer}[{i}]", owners[layer], got, blob.diff)
        self._compare_losses(trace)

    def _aspect_of_diff(self, name: str) -> Aspect:
        if self.net.loss_weights.get(name, 0.0) != 0:
            return "weight"
        return "backward" if self.ran_backward and name in self.last_diff_writer else "unasked"

    def _compare_losses(self, trace: list[Any]) -> None:
        """What the last forward pass returned, and what those before it did, where the answer tells."""
        passes = [i for i, step in enumerate(self.steps) if step == "forward"]
        told = self.outcome.loss_trace or ()
        for i in passes[:-1] if len(told) == len(trace) else ():
            self._compare("total", f"total after step {i + 1}", None, np.asarray(told[i]), trace[i])
        if passes:
            self._compare("total", "total", None, np.asarray(self.outcome.loss), trace[-1])

    def _settle_data(self, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = self.outcome.data.get(name)
        if got is None:
            return
        self._compare("input" if node.type == "Input" else "forward", name, node, got, blob.data)
        if self.settled and got.size == blob.count and node.type != "Input":
            blob.data[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _settle_diff(self, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = self.outcome.diff.get(name)
        if got is None:
            return
        self.compared_diff.add(name)
        self._compare("backward", name, node, got, blob.diff)
        if self.settled and got.size == blob.count:
            blob.diff[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _compare(self, aspect: Aspect, name: str, node: Node | None, got: Array, want: Approx) -> None:
        weights = frozenset() if node is None else frozenset(w for top in self.net.tops_of(node) for w in _uniform(top))
        self.comparisons.append(Comparison(aspect, name, node, got, want.copy(), weights))


def _diffs_written(node: Node) -> Iterator[str]:
    """The blobs whose gradient this layer writes when it runs backward."""
    if node.need_backward:
        yield from (name for name, needed in zip(node.bottoms, node.bottom_need_backward, strict=True) if needed)


def _learnt(node: Node) -> Iterator[Approx]:
    """The parameter diffs that this layer adds to when it runs backward; shared ones are others' too."""
    if node.need_backward:
        yield from (
            blob.diff for blob, asked in zip(node.layer.blobs, node.layer.param_propagate_down, strict=True) if asked
        )


def _uniform(top: Blob) -> list[float]:
    """The one value that all of the top's diff has, as a weight has."""
    values = np.unique(top.diff.value)
    return values.tolist() if values.size == 1 else []


def _weighted(blob: Blob) -> Approx:
    terms: Approx = blob.data * blob.diff
    return terms.total(terms.value.sum(), tuple(range(terms.ndim)))
