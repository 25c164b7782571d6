"""Goals: how fast the kernels are to be, against their peers, against a plain copy, and as problems grow.

The figures were set before the kernels were written, from what the peers take; a miss is a miss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from conformance.contract.dtypes import DOUBLE, FLOAT
from conformance.timing.measure import COPY, Plan
from conformance.timing.problem import LAYERS, Problem
from conformance.timing.result import Measured, Result
from conformance.timing.sizes import SIZES, Size, size_named
from conformance.timing.statistics import median_interval, summary

__all__ = ["FLOOR", "GROWN", "ROWS", "Reached", "Row", "floors", "growths", "memories", "merged", "plans", "ratios"]

OURS, TORCH, CAFFE = "numba-cpu", "torch", "caffe"

MODE = "both"

FLOOR = 2.0
"""Times that a plain copy of the same bytes takes, at most, where memory is what takes the time."""

GROWTH = 0.3
"""How far the time per entry may be from its middle over all sizes that are memory-bound."""

GROWN = 0.01
"""Memory beyond inputs and gradients, as a share of these."""

CLEAR = 2.0
"""Ends of an interval may be so many times apart; beyond that nothing was measured."""

DOUBT = 0.05

DISTURBED = "disturbed: threads waited for cores that other processes had"

STEPS = ("1024x1024", "elementwise", "16384x1024", "huge")
"""2^20 to 2^26 entries."""


@dataclass(frozen=True)
class Row:
    """One line of the table: how many times as long as ours a peer is to take at least, by layer."""

    size: str
    dtype: str
    peer: str
    wanted: Mapping[str, float]


def _row(size: str, dtype: str, peer: str, *wanted: float) -> Row:
    """Figures in the order of `LAYERS`."""
    return Row(size, dtype, peer, dict(zip(LAYERS, wanted, strict=True)))


ROWS: tuple[Row, ...] = (
    _row("large", FLOAT.name, TORCH, 3.5, 5, 4, 2.5, 3, 3, 3),
    _row("large", DOUBLE.name, TORCH, 3.5, 4, 3, 2, 2.5, 3, 3),
    Row("dense", FLOAT.name, TORCH, {"softmax_with_loss": 3}),
    _row("tiny", FLOAT.name, TORCH, 12, 20, 25, 25, 40, 20, 20),
    _row("tiny", FLOAT.name, CAFFE, 2, 2, 1, 0.8, 2, 0.8, 0.8),
)


@dataclass(frozen=True)
class Reached:
    """What came of one goal: ``value`` is to be at least ``wanted``, or with ``at_most`` no more; None: unmeasured."""

    what: str
    wanted: float
    value: float | None
    at_most: bool = False
    reason: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


def plans(threads: int, rounds: int, caffe: str | None, patience: float = 0.0) -> list[Plan]:
    """What has to be timed: the table beside its peers, then the kernels alone as problems grow.

    ``patience`` is that of each plan, in seconds.
    """
    beside_caffe = {(row.size, row.dtype) for row in ROWS if row.peer == CAFFE}
    small: list[Problem] = []
    others: list[Problem] = []
    for row in ROWS:
        if row.peer == TORCH:
            problems = [Problem(layer, SIZES[row.size], row.dtype) for layer in row.wanted]
            (small if (row.size, row.dtype) in beside_caffe else others).extend(problems)
    steps = [Problem(layer, size_named(step), FLOAT.name) for layer in LAYERS for step in STEPS]
    peers = (OURS, TORCH, caffe) if caffe else (OURS, TORCH)
    return [
        Plan(peers, tuple(small), (MODE,), threads, rounds, patience=patience),
        Plan((OURS, TORCH), tuple(others), (MODE,), threads, rounds, patience=patience),
        Plan((OURS,), tuple(steps), (MODE,), threads, rounds, patience=patience, judged=False),
    ]


def merged(results: Sequence[Result]) -> Result:
    """One result of several runs on one machine."""
    first, last = results[0], results[-1]
    return replace(
        first,
        measured=tuple(one for result in results for one in result.measured),
        subjects={spec: about for result in results for spec, about in result.subjects.items()},
        warnings=tuple(dict.fromkeys(line for result in results for line in result.warnings)),
        load=(first.load[0], last.load[1]),
    )


def ratios(result: Result, row: Row, caffe: str | None) -> Iterator[Reached]:
    """A row of the table, layer by layer."""
    spec = TORCH if row.peer == TORCH else caffe
    for layer, wanted in row.wanted.items():
        measured = result.find(Problem(layer, SIZES[row.size], row.dtype))
        if spec is None:
            yield Reached(layer, wanted, None, reason="no Caffe was named")
        elif measured is None:
            yield Reached(layer, wanted, None, reason="not among what was timed")
        else:
            yield _ratio(layer, wanted, measured, OURS, spec)


def _ratio(what: str, wanted: float, measured: Measured, base: str, other: str, at_most: bool = False) -> Reached:
    """The median of the ratios, unless nothing was measured or its interval is too wide to say anything."""
    for spec in (base, other):
        if not measured.of(spec, MODE):
            return Reached(what, wanted, None, at_most, measured.not_timed.get(spec, f"{spec} was not timed"))
    if measured.disturbed(MODE, base, other):
        return Reached(what, wanted, None, at_most, DISTURBED)
    found = measured.ratios(base, other, MODE)
    low, high = median_interval(found, DOUBT)
    if not high <= CLEAR * low:
        return Reached(what, wanted, None, at_most, f"noise: anything from {low:.2f} to {high:.2f}")
    return Reached(what, wanted, summary(found).median, at_most)


def _memory_bound(size: Size) -> bool:
    return size.elements >= SIZES["large"].elements


def floors(result: Result) -> Iterator[Reached]:
    """How many times as long as a plain copy of its bytes each layer takes, wherever memory is what takes the time."""
    for measured in result.measured:
        if _memory_bound(measured.problem.size) and len(measured.problem.size.shape) == 2:
            yield _ratio(str(measured.problem), FLOOR, measured, COPY, OURS, at_most=True)


def growths(result: Result, spec: str = OURS) -> Iterator[Reached]:
    """By layer: how far the time per entry is from its middle at most, from the smallest of `STEPS` to the largest.

    With `COPY` for ``spec``, the same of a copy of as many bytes: the machine's share of it.
    """
    for layer in LAYERS:
        steps = [result.find(Problem(layer, size_named(step), FLOAT.name)) for step in STEPS]
        timed = [step for step in steps if step and step.of(spec, MODE)]
        known = [summary(step.of(spec, MODE)).median / step.problem.size.elements for step in timed]
        if len(known) < len(STEPS):
            yield Reached(layer, GROWTH, None, True, "a size is missing")
        elif any(step.disturbed(MODE, spec) for step in timed):
            yield Reached(layer, GROWTH, None, True, DISTURBED)
        else:
            middle = (min(known) + max(known)) / 2
            yield Reached(layer, GROWTH, max(known) / middle - 1, True)


def memories(result: Result) -> Iterator[Reached]:
    """By layer: memory beyond inputs and gradients at the largest size, as a share of these."""
    for layer in LAYERS:
        measured = result.find(Problem(layer, size_named(STEPS[-1]), FLOAT.name))
        used = None if measured is None else measured.memory.get(OURS)
        if measured is None or used is None:
            yield Reached(layer, GROWN, None, True, "not measured here")
        else:
            yield Reached(layer, GROWN, used / measured.problem.held_bytes(), True)
