"""Diagnosed: whether the cause that a mutant declares is the one that its failures are taken for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.contract.verdict import Level
from conformance.diagnosis.diagnosis import diagnose
from conformance.diagnosis.investigator import Investigator
from conformance.engine.execution import execute
from conformance.losses import profile_of
from conformance.mutants import mutants_by_id
from conformance.mutants.matrix import DTYPES, concerned
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.suite import whole_suite

__all__ = ["Diagnosed", "diagnosed", "to_markdown"]

FAILURES = 1
"""Failing checks per family and type that a mutant is diagnosed by; one of golden cases is one case, of others many."""

FAILURES_OF = {"golden": 6}
"""Families that need more of them."""

TRIED = 80
"""Checks per family and type that are run to find them, drawn from all over the family."""

WITHOUT = ("properties",)
"""Families that look for failures of their own until none is smaller: too slow to be asked of every mutant."""


@dataclass(frozen=True)
class Diagnosed:
    """``declared`` beforehand by the mutant, ``named`` by the diagnosis of ``cases`` failing cases; None of none."""

    mutant: str
    declared: str
    named: str | None
    cases: int

    @property
    def right(self) -> bool:
        return self.declared == self.named

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "right": self.right}


def diagnosed(mutants: Sequence[Mutant], jobs: int = 1) -> Iterator[Diagnosed]:
    """Every mutant that is not equivalent, in their order, each as soon as it and those before it are known."""
    wrong = [mutant for mutant in mutants if mutant.equivalent is None]
    if jobs == 1:
        yield from (_diagnosed(mutant, whole_suite(profile_of(mutant.stem))) for mutant in wrong)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_diagnosed_by_id, [mutant.id for mutant in wrong])


def to_markdown(found: Sequence[Diagnosed]) -> str:
    """The share that is right, cause by cause, and every mutant that was taken for something else."""
    named = [each for each in found if each.named is not None]
    right = sum(each.right for each in named)
    unnameable = sum(each.declared == Cause.UNNAMEABLE.value for each in named)
    share = f"{right / len(named):.1%}" if named else "none"
    lines = [
        f"The likeliest cause is the declared one for {right} of {len(named)} mutants ({share}); "
        f"{unnameable} of them are declared unnameable, {len(found) - len(named)} failed no check here.",
        "",
        "| declared cause | mutants | right |",
        "|---|---:|---:|",
    ]
    for cause, count in sorted(Counter(each.declared for each in named).items()):
        lines.append(f"| {cause} | {count} | {sum(each.right for each in named if each.declared == cause)} |")
    lines += ["", "| mutant | declared | taken for | cases |", "|---|---|---|---:|"]
    lines += [f"| {e.mutant} | {e.declared} | {e.named} | {e.cases} |" for e in found if not e.right]
    return "\n".join(lines) + "\n"


def _diagnosed(mutant: Mutant, checks: Iterable[Check]) -> Diagnosed:
    """The diagnosis of the first failing checks of every family, as a report of them would have it."""
    implementation, investigator = MutantImplementation(mutant), Investigator()
    pieces: dict[tuple[str, str], Evidence] = {}
    failed, tried = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    chosen = [check for check in concerned(mutant, checks, mutant.at_scale) if check.family not in WITHOUT]
    chosen.sort(key=lambda check: hashlib.sha1(check.id.encode()).digest())
    for dtype in DTYPES:
        for check in chosen:
            place = (check.family, dtype)
            enough = failed[place] >= FAILURES_OF.get(check.family, FAILURES) or tried[place] == TRIED
            if dtype not in check.dtypes or enough:
                continue
            tried[place] += 1
            session = Session(implementation, implementation.describe(), dtype)
            verdicts = [v for v in execute(check, session) if v.level is not Level.SHOULD]
            for piece in investigator.evidence(check, session, verdicts):
                pieces[piece.check, dtype] = piece
            failed[place] += any(verdict.status.breaks for verdict in verdicts)
    found = diagnose(list(pieces.values()))
    return Diagnosed(mutant.id, mutant.cause.value, found[0][0].value if found else None, len(pieces))


def _diagnosed_by_id(mutant: str) -> Diagnosed:
    wrong = mutants_by_id()[mutant]
    return _diagnosed(wrong, whole_suite(profile_of(wrong.stem)))
