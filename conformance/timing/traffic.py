"""Traffic: the bytes that a pass has to move at least, and the arithmetic it has to do, per layer.

Every input that the formula depends on is read once and every gradient written once, at the size it has in memory: no
cache line is counted twice, no temporary at all. So the time of a plain copy of the same bytes is a floor that one
pass over memory can come near to and more passes cannot. ``docs/bench.md`` has the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conformance.timing.problem import Problem

__all__ = ["OPERATIONS", "Operations", "Traffic", "traffic_of"]

LINE = 64
"""Bytes that come with any byte that is read."""


@dataclass(frozen=True)
class Operations:
    """Per entry of the scores, forward and backward together: exponentials and logarithms, and plain operations.

    ``per_unit`` are exponentials and logarithms per label, pair or sample.
    """

    transcendental: int
    plain: int
    per_unit: int = 0


OPERATIONS: dict[str, Operations] = {
    "softmax_with_loss": Operations(1, 4, per_unit=1),
    "infogain_loss": Operations(1, 9, per_unit=1),
    "sigmoid_cross_entropy_loss": Operations(2, 11),
    "hinge_loss": Operations(0, 4),
    "euclidean_loss": Operations(0, 5),
    "contrastive_loss": Operations(0, 6, per_unit=1),
    "multinomial_logistic_loss": Operations(0, 0, per_unit=1),
}
"""softmax: maximum, difference, sum, product; infogain: in addition two products and sums with H's row, and its scale;
sigmoid: sign, absolute value, choices, quotient, products and sums; and so on."""


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written by one pass."""

    read: int
    written: int

    @property
    def total(self) -> int:
        return self.read + self.written


def traffic_of(problem: Problem, mode: str) -> Traffic:
    """What a pass of ``mode`` moves at least. A backward pass reads as much as a forward pass: the scores, or their
    softmax."""
    entries = {name: math.prod(shape) for name, shape in problem.shapes().items()}
    if problem.layer == "multinomial_logistic_loss":
        entries["x"] = min(entries["x"], problem.samples * LINE // problem.itemsize)
    written = 0 if mode == "forward" else len(problem.spec.learned) * problem.size.elements
    return Traffic(sum(entries.values()) * problem.itemsize, written * problem.itemsize)
