"""Table: a result as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.timing.machine import Machine
from conformance.timing.measure import COPY
from conformance.timing.result import Measured, Result
from conformance.timing.statistics import summary

__all__ = [
    "DISTURBED",
    "MEMORY_BOUND",
    "heading",
    "print_lines",
    "render",
    "shown_bytes",
    "shown_seconds",
    "wrong_answers",
]

MEMORY_BOUND = 1 << 20
"""Bytes of traffic from which a comparison with a plain copy says something."""

DISTURBED = "~: hardly a round without waiting for cores that other processes had"
"""What stands under a table with such times."""

GROWN = 1 << 20
"""Bytes beyond inputs and gradients that are worth a word."""


def shown_seconds(seconds: float) -> str:
    """Three digits and a unit: 7.61 µs."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds / 1e-9)} ns"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def shown_bytes(count: float) -> str:
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{_three(count / (1 << power))} {unit}"
    return f"{count:.0f} B"


def heading(machine: Machine, threads: int) -> str:
    """The machine in a line."""
    parts = [f"{machine.cpu}, {machine.cores} core(s), {threads} thread(s)"]
    last = [size for level, _, size in machine.caches if level == max(level for level, _, _ in machine.caches)]
    parts += [f"{shown_bytes(last[0])} last-level cache"] if last else []
    parts += machine.gpus
    parts += [f"{name} {machine.libraries[name]}" for name in ("numba", "numpy") if name in machine.libraries]
    return ", ".join(parts)


def render(result: Result, console: Console) -> None:
    """Print the times by type, then everything that a reader has to know beside them."""
    console.print(Text(heading(result.machine, result.threads), style="bold"))
    console.print(Text(f"medians of {result.rounds} interleaved rounds; ratios round by round, with their quartiles"))
    if any(
        measured.disturbed(mode, spec)
        for measured in result.measured
        for mode in measured.modes()
        for spec in result.specs
    ):
        console.print(Text(DISTURBED))
    for dtype in dict.fromkeys(measured.problem.dtype for measured in result.measured):
        console.print(_times(result, dtype))
    for title, lines in (
        ("Wrong", wrong_answers(result)),
        ("Memory", _memory(result)),
        ("Not timed", _not_timed(result)),
    ):
        print_lines(console, title, lines)
    print_lines(console, "Note", iter(result.warnings))


def print_lines(console: Console, title: str, lines: Iterator[str]) -> None:
    """A title and the lines, or nothing where there are none."""
    for i, line in enumerate(lines):
        if i == 0:
            console.print(Text(f"\n{title}", style="bold"))
        console.print(Text(f"  {line}"))


def _times(result: Result, dtype: str) -> Table:
    base, *others = result.specs
    table = Table(title=dtype, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in ("layer", "size", "mode"):
        table.add_column(column)
    for column in (base, "±", "of copy"):
        table.add_column(column, justify="right", no_wrap=True)
    for spec in others:
        table.add_column(spec, justify="right")
        table.add_column("ratio", justify="right", no_wrap=True)
    previous = ""
    for measured in result.measured:
        if measured.problem.dtype == dtype:
            for mode in measured.modes():
                layer = measured.problem.layer
                shown = "" if layer == previous else layer
                previous = layer
                table.add_row(shown, measured.problem.size.name, mode, *_row(measured, mode, base, others))
    return table


def _row(measured: Measured, mode: str, base: str, others: list[str]) -> Iterator[str]:
    own = measured.of(base, mode)
    yield _time(measured, mode, base)
    yield f"{summary(own).spread:.0%}" if own else ""
    yield _of_copy(measured, mode, base)
    for spec in others:
        yield _time(measured, mode, spec)
        ratios = measured.ratios(base, spec, mode)
        yield _ratio(ratios) if ratios else ""


def _time(measured: Measured, mode: str, spec: str) -> str:
    seconds = measured.of(spec, mode)
    if not seconds:
        return "-"
    accepted = measured.verdicts.get(spec, {}).get("accepted", True)
    shown = shown_seconds(summary(seconds).median)
    return ("~" if measured.disturbed(mode, spec) else "") + shown + ("" if accepted else " (wrong)")


def _ratio(ratios: list[float]) -> str:
    found = summary(ratios)
    return f"{_three(found.median)}x [{_three(found.low)}, {_three(found.high)}]"


def _of_copy(measured: Measured, mode: str, spec: str) -> str:
    """The share of the bandwidth of a plain copy that the pass reaches."""
    ratios = measured.ratios(spec, COPY, mode)
    if not ratios or measured.traffic.get(mode, 0) < MEMORY_BOUND:
        return ""
    return f"{summary(ratios).median:.0%}"


def wrong_answers(result: Result) -> Iterator[str]:
    """Who was wrong about which problem, and how."""
    for measured in result.measured:
        for spec, verdict in measured.verdicts.items():
            if not verdict["accepted"]:
                yield f"{spec}, {measured.problem}: {verdict['reason']}"


def _memory(result: Result) -> Iterator[str]:
    for measured in result.measured:
        for spec, count in measured.memory.items():
            if count >= GROWN:
                share = count / measured.problem.held_bytes()
                beyond = f"{shown_bytes(count)} beyond inputs and gradients ({share:.0%} of them)"
                yield f"{spec}, {measured.problem}: {beyond}"


def _not_timed(result: Result) -> Iterator[str]:
    """Reasons, each with the problems that it holds for."""
    held: dict[tuple[str, str], list[str]] = {}
    for measured in result.measured:
        for spec, reason in measured.not_timed.items():
            held.setdefault((spec, reason), []).append(str(measured.problem))
    for (spec, reason), problems in held.items():
        where = problems[0] if len(problems) == 1 else f"{len(problems)} problems, the first {problems[0]}"
        yield f"{spec}: {reason} ({where})"
