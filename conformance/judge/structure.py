"""The structure of an answer: the layers after splitting, the net's outputs. Optional for a third party; right where
given."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.contract.outcome import LayerRecord, Outcome
from conformance.contract.verdict import Level
from conformance.judge.finding import Finding
from conformance.judge.reference import records_of
from refimpl.net import Net

__all__ = ["structure_findings"]


def structure_findings(net: Net, outcome: Outcome) -> Iterator[Finding]:
    """What the answer says of the net's structure; `should` level, for nothing is computed with it."""
    if outcome.outputs is not None:
        right = list(outcome.outputs) == net.outputs
        yield Finding(
            "structure",
            "net",
            None,
            right,
            Level.SHOULD,
            "" if right else f"outputs {list(outcome.outputs)}, wanted {net.outputs}",
        )
    if outcome.layers is not None:
        wrong = _first_difference(outcome.layers, records_of(net))
        yield Finding("structure", "net", None, wrong is None, Level.SHOULD, wrong or "")


def _first_difference(got: tuple[LayerRecord, ...], want: tuple[LayerRecord, ...]) -> str | None:
    if [record.name for record in got] != [record.name for record in want]:
        return f"layers {[r.name for r in got]}, wanted {[r.name for r in want]}"
    for mine, theirs in zip(got, want, strict=True):
        for field in ("type", "bottoms", "tops", "loss_weights", "need_backward"):
            told = getattr(mine, field)
            if told is not None and told != getattr(theirs, field):
                return f"layer {mine.name}: {field} {told}, wanted {getattr(theirs, field)}"
    return None
