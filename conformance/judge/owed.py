"""Owed: what the reference computes in a case and an answer does not report.

A requirement is owed where the reference's own outcome would be judged on it. So what is missing leaves a requirement
undecided, and where nothing was computed that it is about, nothing was asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.aspect import WORDS, Aspect
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Level
from conformance.judge.finding import Finding
from conformance.judge.replay import diffs_written, learnt_by
from refimpl.backward_plan import Node
from refimpl.net import Net
from refimpl.running_error import Approx
from refimpl.splits import is_inserted

__all__ = ["OPTIONAL", "unreported"]

OPTIONAL = ("weight", "unasked", "structure")
"""What an answer need not hold: a requirement that something else decides does not miss it."""


def unreported(net: Net, case: Case, outcome: Outcome) -> Iterator[Finding]:
    """A finding of nothing for each array of the reference's outcome, after each state asked for, that an answer lacks.

    What an inserted Split makes is not asked for; its tops' gradients are known by their sum.
    """
    for count, state in enumerate((*outcome.passes[:-1], outcome) if case.each_pass else (), start=1):
        yield from _unreported(net, [step for one in case.sequence[:count] for step in one.steps], state)
    if not case.each_pass:
        yield from _unreported(net, case.all_steps, outcome)
    if outcome.layers is None or outcome.outputs is None:
        yield Finding("structure", "net", None, True, Level.SHOULD, "the net's layers and outputs are not reported")


def _unreported(net: Net, steps: Sequence[str], outcome: Outcome) -> Iterator[Finding]:
    split = {top: node.bottoms[0] for node in net.layers if _inserted(node) for top in node.tops}
    if "forward" in steps:
        writers = {top: node for node in net.layers for top in node.tops}
        for name, node in writers.items():
            if name not in outcome.data and name not in split:
                missing = _missing("input" if node.type == "Input" else "forward", name, node)
                yield replace(missing, in_total=bool(net.loss_weights.get(name)))
                yield replace(missing, kind="shape", level=Level.SHOULD)
    if "backward" in steps:
        written = {blob: node for node in reversed(net.layers) for blob in diffs_written(node)}
        for name, node in written.items():
            if split.get(name, name) not in outcome.diff and name not in outcome.diff:
                yield _missing("backward", name, node)
        yield from _parameters(net, outcome)
    yield from _optional(net, outcome)


def _parameters(net: Net, outcome: Outcome) -> Iterator[Finding]:
    learnt = [diff for node in net.layers for diff in learnt_by(node)]
    for node in net.layers:
        told = len(outcome.param_diff.get(node.name, ()))
        for i, blob in enumerate(net.params.get(node.name, ())[told:], told):
            if any(_shared(blob.diff, diff) for diff in learnt):
                yield _missing("parameter", f"{node.name}[{i}]", node)


def _optional(net: Net, outcome: Outcome) -> Iterator[Finding]:
    for node in net.layers:
        for name in (name for name in node.tops if name not in outcome.diff):
            yield _missing("weight" if net.loss_weights.get(name) else "unasked", name, node)


def _missing(aspect: Aspect, name: str, node: Node) -> Finding:
    return Finding(aspect, node.type, node.name, True, Level.MUST, f"the {WORDS[aspect]} {name} is not reported")


def _inserted(node: Node) -> bool:
    return node.type == "Split" and is_inserted(node.name, node.tops)


def _shared(one: Approx, other: Approx) -> bool:
    return bool(np.may_share_memory(one.value, other.value))
