"""Traffic: the bytes that a pass has to move at least.

Every input that the formula depends on is read once and every gradient written once, at the size it has in memory: no
cache line is counted twice, no temporary at all. So the time of a plain copy of the same bytes is a floor that one
pass over memory can come near to and more passes cannot. ``docs/bench.md`` has the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conformance.timing.problem import Problem

__all__ = ["Traffic", "traffic_of"]

LINE = 64
"""Bytes that come with any byte that is read."""


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written by one pass."""

    read: int
    written: int

    @property
    def total(self) -> int:
        return self.read + self.written


def traffic_of(problem: Problem, mode: str) -> Traffic:
    """What a pass of ``mode`` moves at least.

    A backward pass reads as much as a forward pass: the scores, or their softmax. A loss that computes nothing for
    every entry reads one score per sample, and the line that it is in.
    """
    loss = problem.loss
    entries = {name: math.prod(shape) for name, shape in problem.shapes.items()}
    if not any(loss.operations[:2]):
        scores = loss.bottoms[0].name
        entries[scores] = min(entries[scores], problem.samples * LINE // problem.itemsize)
    written = 0 if mode == "forward" else len(loss.learned) * problem.size.elements
    return Traffic(sum(entries.values()) * problem.itemsize, written * problem.itemsize)
