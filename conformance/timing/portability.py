"""Portability: how near an implementation comes to the best one on each machine, and on all of them together.

Its efficiency on a machine is the harmonic mean, over the problems that were timed there, of the best implementation's
time over its own. Its performance portability is the harmonic mean of that over the machines, and 0 where it lacks a
problem or computes a wrong answer on any (Pennycook, Sewall and Lee, "Implications of a metric for performance
portability", 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.timing.comparison import Line

__all__ = ["Portability", "harmonic_mean", "portabilities", "render_portability"]


@dataclass(frozen=True)
class Portability:
    """An implementation's efficiency by machine, from 0 to 1, in one type and mode."""

    dtype: str
    mode: str
    spec: str
    efficiency: Mapping[str, float]

    @property
    def over_all(self) -> float:
        """Its performance portability."""
        return harmonic_mean(self.efficiency.values())


def harmonic_mean(values: Iterable[float]) -> float:
    """0 where any value is, and of no values."""
    known = list(values)
    return len(known) / sum(1 / value for value in known) if known and all(known) else 0.0


def portabilities(compared: Sequence[Line]) -> Iterator[Portability]:
    """Of every implementation, in every type and mode, in the order of the lines."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in compared:
        groups.setdefault((line.problem.dtype, line.mode), []).append(line)
    for (dtype, mode), group in groups.items():
        labels = dict.fromkeys(label for line in group for label in line.seconds)
        for spec in dict.fromkeys(line.spec for line in group):
            mine = {line.problem: line.of_best for line in group if line.spec == spec}
            efficiency = {}
            for label in labels:
                timed = dict.fromkeys(line.problem for line in group if label in line.seconds)
                efficiency[label] = harmonic_mean(mine.get(problem, {}).get(label, 0.0) for problem in timed)
            yield Portability(dtype, mode, spec, efficiency)


def render_portability(found: Iterable[Portability], console: Console) -> None:
    """One table: a line for each implementation, its efficiency on each machine, and over all."""
    rows = list(found)
    labels = list(dict.fromkeys(label for row in rows for label in row.efficiency))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("type", "mode", "implementation"):
        table.add_column(column)
    for column in (*labels, "over all"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = [f"{row.efficiency[label]:.0%}" if label in row.efficiency else "-" for label in labels]
        table.add_row(row.dtype, row.mode, row.spec, *cells, f"{row.over_all:.0%}")
    console.print(table)
    console.print(
        Text("share of the best one's speed on each machine, a harmonic mean over the problems; over all: of those")
    )
    console.print(Text("0: it lacks a problem there, or computes something else than the reference"))
