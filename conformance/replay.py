"""Replay: the reference's net, run again on the blobs an implementation reports, layer by layer.

Every layer is evaluated in float64 with its running error, at the bottom data and top diffs that the implementation itself
had; what it reports for a blob is compared once the last layer that writes the blob has run, and then takes the reference's
place. So errors do not pile up along a net, a difference names its layer, and a blob that is not reported simply keeps the
reference's value and its bound. An in-place layer is compared together with the layer that made its blob.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from conformance.case import Array, Case
from conformance.drive import build, run_steps
from conformance.outcome import Outcome
from refimpl.backward_plan import Node
from refimpl.blob import Blob
from refimpl.dialect import Dialect
from refimpl.net import AUTOMATIC_TOP, Net
from refimpl.running_error import Approx, Rounding

__all__ = ["Aspect", "Comparison", "replay"]

Aspect = Literal["forward", "backward", "parameter", "total", "weight", "unasked", "input"]
"""What is compared: a top's data, a bottom's gradient, a parameter's gradient, the net's loss, a weight held in a top's diff,
a diff that nobody asked for, or the data of an input."""


@dataclass(frozen=True)
class Comparison:
    """One reported array beside the reference's value and bound.

    ``node`` is the layer that answers for it, None for the net; ``weights`` are the values in that layer's tops' diffs.
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


def replay(case: Case, outcome: Outcome, dialect: Dialect, rounding: Rounding) -> tuple[Net, list[Comparison]]:
    """Everything the outcome reports, compared in the order in which it was computed; and the net it was compared with.

    Raises `NetError` where the reference refuses the case in this dialect.
    """
    net = build(case, dialect=dialect, dtype=rounding)
    run = _Replay(net, case, outcome)
    trace = run_steps(net, case, run.forward, run.backward)
    run.finish(trace)
    return net, run.comparisons


class _Replay:
    def __init__(self, net: Net, case: Case, outcome: Outcome) -> None:
        self.net = net
        self.outcome = outcome
        self.rounding: Rounding = next(iter(net.blobs.values())).data.rounding
        self.comparisons: list[Comparison] = []
        self.compared_data: set[str] = set()
        self.compared_diff: set[str] = set()
        self.settle_diffs_in_backward = case.steps[-1] == "backward"
        self.last_data_writer = {top: node for node in net.layers for top in node.tops}
        self.last_diff_writer = {blob: node for node in reversed(net.layers) for blob in _diffs_written(node)}

    def forward(self, net: Net) -> Any:
        for node in net.layers:
            net.forward_layer(node)
            for top in node.tops:
                if self.last_data_writer[top] is node:
                    self._settle_data(top, node)
        total = _approx_zero(self.rounding)
        for node in net.layers:
            for blob, weight in zip(net.tops_of(node), node.loss_weights, strict=True):
                if weight != 0:
                    total = total + _weighted(blob)
        return total

    def backward(self, net: Net, last: bool) -> None:
        for node in reversed(net.layers):
            net.backward_layer(node)
            if last and self.settle_diffs_in_backward:
                for blob in dict.fromkeys(_diffs_written(node)):
                    if self.last_diff_writer[blob] is node:
                        self._settle_diff(blob, node)

    def finish(self, trace: list[Any]) -> None:
        for name in self.outcome.diff:
            if name in self.net.blobs and name not in self.compared_diff:
                weighted = self.net.loss_weights.get(name, 0.0) != 0
                asked = name in self.last_diff_writer and not self.settle_diffs_in_backward
                node = self.last_diff_writer.get(name) or self.last_data_writer[name]
                self._compare("weight" if weighted else "backward" if asked else "unasked", name, node, self.outcome.diff[name], self.net.blobs[name].diff)
        owners = {node.name: node for node in self.net.layers}
        for layer, arrays in self.outcome.param_diff.items():
            for i, (got, blob) in enumerate(zip(arrays, self.net.params.get(layer, ()), strict=False)):
                self._compare("parameter", f"{layer}[{i}]", owners[layer], got, blob.diff)
        losses, wanted = self.outcome.loss_trace or (self.outcome.loss,), trace
        if self.outcome.loss_trace is None or len(losses) != len(trace):
            losses, wanted = (self.outcome.loss,), trace[-1:]
        for i, (loss, want) in enumerate(zip(losses, wanted, strict=True)):
            name = "total" if len(losses) == 1 else f"total after step {i + 1}"
            if isinstance(want, Approx):
                self._compare("total", name, None, np.asarray(loss), want)

    def _settle_data(self, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = self.outcome.data.get(name)
        if got is None or name == AUTOMATIC_TOP:
            return
        if name not in self.compared_data:
            self.compared_data.add(name)
            self._compare("input" if node.type == "Input" else "forward", name, node, got, blob.data)
        if got.size == blob.count and node.type != "Input":
            blob.data[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _settle_diff(self, name: str, node: Node) -> None:
        blob = self.net.blobs[name]
        got = self.outcome.diff.get(name)
        if got is None or name == AUTOMATIC_TOP:
            return
        self.compared_diff.add(name)
        self._compare("backward", name, node, got, blob.diff)
        if got.size == blob.count:
            blob.diff[...] = np.asarray(got, dtype=np.float64).reshape(blob.shape)

    def _compare(self, aspect: Aspect, name: str, node: Node | None, got: Array, want: Approx) -> None:
        weights = frozenset() if node is None else frozenset(w for top in self.net.tops_of(node) for w in top.diff.value.ravel().tolist())
        self.comparisons.append(Comparison(aspect, name, node, got, want.copy(), weights))


def _diffs_written(node: Node) -> Iterator[str]:
    """The blobs whose gradient this layer writes when it runs backward."""
    if node.need_backward:
        yield from (name for name, needed in zip(node.bottoms, node.bottom_need_backward, strict=True) if needed)


def _weighted(blob: Blob) -> Approx:
    terms: Approx = blob.data * blob.diff
    return terms.total(terms.value.sum(), tuple(range(terms.ndim)))


def _approx_zero(rounding: Rounding) -> Approx:
    return Approx.zeros((), rounding)
