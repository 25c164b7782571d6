"""The kill matrix: which family of checks tells which mutant from a right implementation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from conformance.contract.check import Check
from conformance.contract.dtypes import DEFAULT
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Verdict
from conformance.engine.execution import execute
from conformance.losses import profile_of
from conformance.mutants import mutants_by_id
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.mutants.pool import Hands, in_processes
from conformance.mutants.right_answers import RightAnswers, right_answers_in
from conformance.suite import whole_suite

__all__ = ["Kill", "Row", "concerned", "kill_matrix", "run_mutant"]

DTYPES = tuple(reversed(DEFAULT))
"""The type with the sharper bounds first."""


@dataclass(frozen=True)
class Kill:
    """The verdict that told a mutant from a right implementation."""

    check: str
    dtype: str
    requirement: str
    reason: str


@dataclass(frozen=True)
class Row:
    """What the suite makes of one mutant: the first kill of every family that concerns it, None where it survives.

    ``noticed`` holds the first broken `should` of the families that do not kill.
    """

    mutant: str
    cause: str
    equivalent: str | None
    kills: Mapping[str, Kill | None]
    noticed: Mapping[str, Kill]
    seconds: float

    @property
    def killed_by(self) -> list[str]:
        return [family for family, kill in self.kills.items() if kill]

    @property
    def as_it_should(self) -> bool:
        """Killed, unless it is argued to be equivalent: then not."""
        return bool(self.killed_by) != (self.equivalent is not None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def concerned(mutant: Mutant, checks: Iterable[Check], large: bool = False) -> Iterator[Check]:
    """The core checks, or also the large ones, that name what the mutant has got wrong: its layer, its types, or, in a
    requirement, the net, which is who refuses."""
    types = {*mutant.layers, *(f"layer.{kind}" for kind in mutant.layers)}
    for check in checks:
        subjects = {name.partition(".")[0] for name in check.requirements}
        named = {check.layer, *subjects, *(["net"] if "refusal" in subjects else [])}
        if (check.core or large) and (mutant.stem in named or types & {*check.layer_types, *check.requirements}):
            yield check


def run_mutant(
    mutant: Mutant, checks: Iterable[Check], right: RightAnswers, once: bool = False, claim: str = ""
) -> Row:
    """Run a mutant through every family that concerns it, each up to its first kill, or ``once``: through no more
    families than it takes to kill it; in Caffe's types or in a ``claim`` of others."""
    started = time.perf_counter()
    kills: dict[str, Kill | None] = {}
    noticed: dict[str, Kill] = {}
    for check, dtype in _ordered(concerned(mutant, checks, mutant.at_scale), (claim,) if claim else DTYPES):
        if kills.setdefault(check.family, None) is None:
            broken = _broken(check, dtype, mutant, right)
            kills[check.family] = next((_kill(v) for v in broken if v.level is not Level.SHOULD), None)
            if broken:
                noticed.setdefault(check.family, _kill(broken[0]))
            if once and kills[check.family]:
                break
    noticed = {family: kill for family, kill in noticed.items() if kills[family] is None}
    name = f"{mutant.id} [{claim}]" if claim else mutant.id
    return Row(name, mutant.cause.value, mutant.equivalent, kills, noticed, time.perf_counter() - started)


def _ordered(checks: Iterable[Check], dtypes: Sequence[str]) -> list[tuple[Check, str]]:
    """All checks in one dtype, then in the other; within it, those that serve many requirements after the others."""
    several = sorted(checks, key=lambda check: (check.family, len(check.requirements)))
    return [(check, dtype) for dtype in dtypes for check in several if check.runs_in(dtype)]


def _broken(check: Check, dtype: str, mutant: Mutant, right: RightAnswers) -> list[Verdict]:
    implementation = MutantImplementation(mutant)
    if right.matches(check, dtype, implementation):
        return []
    session = Session(implementation, implementation.describe(), dtype, mutant.form or None)
    return [verdict for verdict in execute(check, session) if verdict.status.breaks]


def _kill(verdict: Verdict) -> Kill:
    return Kill(verdict.check, verdict.dtype, verdict.requirement, verdict.reason)


def kill_matrix(
    mutants: Sequence[Mutant], hands: Hands = 1, once: bool = False, claims: Sequence[str] = ("",)
) -> Iterator[Row]:
    """The rows of the mutants, in their order, each as soon as it and those before it are known; of each in every one
    of the ``claims``, of which an empty one stands for Caffe's types."""
    if hands == 1:
        yield from (_row(mutant, claim, once) for mutant in mutants for claim in claims)
        return
    named = [(mutant.id, claim) for mutant in mutants for claim in claims]
    yield from in_processes(partial(_row_by_id, once=once), named, hands)


def _row(mutant: Mutant, claim: str, once: bool) -> Row:
    return run_mutant(mutant, whole_suite(profile_of(mutant.stem)), right_answers_in(mutant.dialect), once, claim)


def _row_by_id(named: tuple[str, str], once: bool) -> Row:
    mutant, claim = named
    return _row(mutants_by_id()[mutant], claim, once)
