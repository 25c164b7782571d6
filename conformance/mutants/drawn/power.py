"""Power: the share of drawn mutants that the suite kills, with the interval that chance leaves it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import TypeVar

from numba.core.errors import NumbaError

from conformance.contract.dtypes import DEFAULT
from conformance.contract.session import Session
from conformance.contract.verdict import Level
from conformance.engine.execution import execute
from conformance.losses import profile_of
from conformance.mutants.drawn.apart import Unsaid, apart
from conformance.mutants.drawn.operators import KERNELS, REFERENCE, mechanical, places
from conformance.mutants.drawn.settling import Settled, settled
from conformance.mutants.drawn.triggered import triggered
from conformance.mutants.matrix import concerned
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.mutants.pool import Hands, in_processes
from conformance.mutants.right_answers import right_answers_in
from conformance.suite import whole_suite

__all__ = ["Drawn", "Power", "drawn_mutants", "lines", "measured", "to_json", "to_markdown"]

T = TypeVar("T")

_SOURCES = {"mechanical": REFERENCE, "kernel": KERNELS}
_ENDED: str | None = "its process ends"
DTYPES = tuple(reversed(DEFAULT))
Z = 1.959964
"""Of the normal distribution, for an interval of 95 %."""


@dataclass(frozen=True)
class Drawn:
    """A drawn mutant by what it is drawn from: a loss's stem, "triggered", "mechanical" or "kernel", a seed and a
    number."""

    stem: str
    way: str
    seed: int
    number: int

    def mutant(self) -> Mutant | None:
        """None for a place in the source whose change makes no class."""
        if self.way == "triggered":
            return triggered(self.stem, self.seed, self.number)
        return mechanical(self.stem, self.number, _SOURCES[self.way])


@dataclass(frozen=True)
class Power:
    """What became of a mutant: ``killed_by`` is the check that killed it, None where it survives."""

    mutant: str
    wrong: str
    kind: str
    rare: bool
    killed_by: str | None
    seconds: float

    @property
    def stem(self) -> str:
        return self.mutant.partition("/")[0]


def drawn_mutants(stems: Iterable[str], seed: int, count: int, kernels: int = 0) -> list[Drawn]:
    """For every loss three fifths of ``count`` with a trigger, the rest mechanical, from places that a seed chooses;
    besides as many of its ``kernels``."""
    chosen = []
    for stem in stems:
        with_trigger = count * 3 // 5
        chosen += [Drawn(stem, "triggered", seed, i) for i in range(with_trigger)]
        for way, most in (("mechanical", count - with_trigger), ("kernel", kernels)):
            there = range(len(places(stem, _SOURCES[way])))
            drawn = Random(f"{stem}/{seed}").sample(there, min(most, len(there)))
            chosen += [Drawn(stem, way, seed, i) for i in sorted(drawn)]
    return chosen


def measured(drawn: Sequence[Drawn], hands: Hands = 1) -> Iterator[Power | None]:
    """What became of each, in order; None for those that were not shown to be wrong."""
    if hands == 1:
        yield from map(_measured, drawn)
        return
    yield from in_processes(_measured, drawn, hands, together=4)


def _measured(drawn: Drawn) -> Power | None:
    mutant = drawn.mutant()
    if mutant is None:
        return None
    run, started = apart if drawn.way == "kernel" else _here, time.perf_counter()
    try:
        found = run(_settled, mutant, Settled(1, "its process"))
        if not found.wrong:
            return None
        killed_by = run(_killed_by, mutant, _ENDED)
    except Unsaid:
        return None
    return Power(mutant.id, mutant.wrong, mutant.stands_for, found.rare, killed_by, time.perf_counter() - started)


def _settled(mutant: Mutant) -> Settled:
    """Kernels that do not compile are nobody's mistake; others are held against those that nobody changed."""
    try:
        return settled(mutant, mutant.stands_for == "kernel")
    except NumbaError:
        return Settled(0)


def _here(function: Callable[[Mutant], T], mutant: Mutant, if_it_dies: T) -> T:
    return function(mutant)


def _killed_by(mutant: Mutant) -> str | None:
    """The first check with a broken `must`; the cheap ones are asked first."""
    checks = sorted(
        concerned(mutant, whole_suite(profile_of(mutant.stem)), large=True), key=lambda check: not check.core
    )
    implementation = MutantImplementation(mutant)
    for dtype in DTYPES:
        for check in checks:
            if dtype not in check.dtypes or right_answers_in("documented").matches(check, dtype, implementation):
                continue
            session = Session(implementation, implementation.describe(), dtype)
            for verdict in execute(check, session):
                if verdict.status.breaks and verdict.level is not Level.SHOULD:
                    return f"{check.id}[{dtype}]"
    return None


def interval(killed: int, of: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = killed / of, Z * Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(rows: Sequence[Power]) -> list[str]:
    killed = sum(row.killed_by is not None for row in rows)
    low, high = interval(killed, len(rows))
    percent = 100 * killed / len(rows) if rows else 0.0
    return [str(len(rows)), str(killed), f"{percent:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]


def lines(rows: Sequence[Power], unsettled: int, seconds: float) -> list[str]:
    """The survivors and the conclusion, for a person."""
    said = [f"survived: {row.mutant}: {row.wrong}" for row in rows if row.killed_by is None]
    count, killed, percent, between = _share(rows)
    said.append(
        f"{killed} of {count} drawn mutants killed: {percent} % (95 %: {between} %); {unsettled} were not shown to be "
        f"wrong and do not count; {seconds:.0f} s"
    )
    return said


def to_markdown(rows: Sequence[Power], unsettled: int, seconds: float) -> str:
    """Power by loss, by what the trigger looks at, and by how rare the error is; then the survivors."""
    page = ["# Drawn mutants", "", lines(rows, unsettled, seconds)[-1], ""]
    groups: list[tuple[str, Callable[[Power], str]]] = [
        ("loss", lambda row: row.stem),
        ("what the trigger looks at", lambda row: row.kind),
        ("how often wrong", lambda row: "in 1 case of 20 or fewer" if row.rare else "more often"),
    ]
    for title, of in groups:
        page += [f"| {title} | mutants | killed | % | 95 % interval |", "|---|---:|---:|---:|---|"]
        for name in sorted({of(row) for row in rows}):
            page.append(f"| {name} | {' | '.join(_share([row for row in rows if of(row) == name]))} |")
        page.append("")
    page += ["| survivor | wrong |", "|---|---|"]
    page += [f"| {row.mutant} | {row.wrong} |" for row in rows if row.killed_by is None]
    return "\n".join(page) + "\n"


def to_json(rows: Sequence[Power], unsettled: int) -> str:
    return json.dumps({"unsettled": unsettled, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
