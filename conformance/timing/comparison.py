"""Comparison: results of several machines, or of one machine at several times, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.timing.measure import COPY
from conformance.timing.problem import Problem
from conformance.timing.result import Measured, Result, read_result
from conformance.timing.statistics import summary
from conformance.timing.table import DISTURBED, MEMORY_BOUND, heading, shown_seconds

__all__ = ["Line", "labelled", "lines", "render_comparison"]


@dataclass(frozen=True)
class Line:
    """One subject's times on one problem in one mode: median seconds, and the shares of that machine's own copy and of
    the best of those there that compute what the reference does.

    ``disturbed`` are the results in which it hardly had a round without waiting for a core, ``wrong`` those in which it
    computed something else: there it has no share of the best.
    """

    problem: Problem
    mode: str
    spec: str
    seconds: Mapping[str, float]
    of_copy: Mapping[str, float]
    disturbed: frozenset[str] = frozenset()
    of_best: Mapping[str, float] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()


def labelled(paths: Sequence[Path]) -> dict[str, Result]:
    """Results by a short name of their own: the file's, and as many of its folders as it takes to tell them apart.

    Raises `UsageError` for a file that is no result.
    """
    results = [read_result(path) for path in paths]
    depth = 1
    while True:
        labels = ["/".join(path.resolve().with_suffix("").parts[-depth:]) for path in paths]
        if len(set(labels)) == len(set(path.resolve() for path in paths)) or depth > 32:
            return dict(zip(labels, results, strict=True))
        depth += 1


def lines(results: Mapping[str, Result]) -> Iterator[Line]:
    """Everything that any result has, in the order of the first that has it."""
    keys: dict[tuple[str, Problem, str, str], None] = {}
    for result in results.values():
        for measured in result.measured:
            for mode in measured.modes():
                for spec in measured.seconds:
                    if spec != COPY and measured.of(spec, mode):
                        keys[measured.problem.dtype, measured.problem, mode, spec] = None
    for _, problem, mode, spec in keys:
        seconds, of_copy, of_best, disturbed, wrong = {}, {}, {}, set(), set()
        for label, result in results.items():
            found = result.find(problem)
            if found is None or not found.of(spec, mode):
                continue
            seconds[label] = summary(found.of(spec, mode)).median
            if found.disturbed(mode, spec):
                disturbed.add(label)
            if _right(found, spec):
                of_best[label] = _best(found, mode) / seconds[label]
            else:
                wrong.add(label)
            copies = found.ratios(spec, COPY, mode)
            if copies and found.traffic.get(mode, 0) >= MEMORY_BOUND:
                of_copy[label] = summary(copies).median
        yield Line(problem, mode, spec, seconds, of_copy, frozenset(disturbed), of_best, frozenset(wrong))


def _right(measured: Measured, spec: str) -> bool:
    return bool(measured.verdicts.get(spec, {}).get("accepted", True))


def _best(measured: Measured, mode: str) -> float:
    """The median seconds of the fastest that is right."""
    specs = (spec for spec in measured.seconds if spec != COPY and _right(measured, spec))
    return min(summary(times).median for spec in specs if (times := measured.of(spec, mode)))


def render_comparison(results: Mapping[str, Result], console: Console) -> None:
    """One table: a line for each time, a column for each machine, ratios to the first."""
    first = next(iter(results))
    for label, result in results.items():
        console.print(
            Text(f"{label}: ", style="bold").append(heading(result.machine, result.threads), style="not bold")
        )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("type", "layer", "size", "mode", "implementation"):
        table.add_column(column)
    for label in results:
        table.add_column(label, justify="right", no_wrap=True)
        table.add_column("of copy", justify="right", no_wrap=True)
        table.add_column("of best", justify="right", no_wrap=True)
        if label != first:
            table.add_column("ratio", justify="right", no_wrap=True)
    compared = list(lines(results))
    for line in compared:
        problem = line.problem
        cells = [cell for label in results for cell in _cells(line, label, first)]
        table.add_row(problem.dtype, problem.layer, problem.size.name, line.mode, line.spec, *cells)
    console.print(table)
    if any(line.disturbed for line in compared):
        console.print(Text(DISTURBED))
    console.print(Text("ratio: times as long as on the first; of copy: share of that machine's own copy bandwidth"))
    console.print(Text("of best: share of the best one's speed there; WRONG: it computes what the reference does not"))


def _cells(line: Line, label: str, first: str) -> Iterator[str]:
    mark = "~" if label in line.disturbed else ""
    yield mark + shown_seconds(line.seconds[label]) if label in line.seconds else "-"
    yield f"{line.of_copy[label]:.0%}" if label in line.of_copy else ""
    yield "WRONG" if label in line.wrong else f"{line.of_best[label]:.0%}" if label in line.of_best else ""
    if label != first:
        both = label in line.seconds and first in line.seconds
        mark = "~" if {label, first} & line.disturbed else ""
        yield f"{mark}{line.seconds[label] / line.seconds[first]:.2f}x" if both else ""
