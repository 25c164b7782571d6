"""Diagnosed: whether the cause that a mutant declares is the one that its failures are taken for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import median
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
from conformance.mutants.pool import Hands, in_processes
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.suite import whole_suite

__all__ = ["Diagnosed", "diagnosed", "to_markdown", "wrong_ones"]

SHARES = ("right", "vague", "none", "wrong")

FAILURES = 1
"""Failing checks per family and type that a mutant is diagnosed by; one of golden cases is one case, of others many."""

FAILURES_OF = {"golden": 4}
"""Families that need more of them."""

TRIED = 16
"""Checks per family and type that are run to find them, drawn from all over the family."""

WITHOUT = ("properties",)
"""Families that look for failures of their own until none is smaller: too slow to be asked of every mutant."""


@dataclass(frozen=True)
class Diagnosed:
    """``declared`` beforehand by the mutant, ``named`` by the diagnosis of ``cases`` failing cases; None of none.

    ``groups`` is how many causes the failures are put down to: one mistake should be one. ``beside`` of the cases are
    in a group whose cause does not foretell them.
    """

    mutant: str
    declared: str
    named: str | None
    cases: int
    groups: int
    beside: int

    @property
    def right(self) -> bool:
        return self.declared == self.named

    @property
    def share(self) -> str:
        """Right, vague (another formula, where there is a name), wrong, or none: no check of those tried failed."""
        if self.named is None:
            return "none"
        return "right" if self.right else "vague" if self.named == Cause.UNNAMEABLE.value else "wrong"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "right": self.right}


def diagnosed(mutants: Sequence[Mutant], hands: Hands = 1) -> Iterator[Diagnosed]:
    """Each in their order, as soon as it and those before it are known."""
    if hands == 1:
        yield from (_diagnosed(mutant, whole_suite(profile_of(mutant.stem))) for mutant in mutants)
        return
    yield from in_processes(_diagnosed_by_id, [mutant.id for mutant in mutants], hands)


def wrong_ones(mutants: Sequence[Mutant], count: int | None = None, seed: int = 1) -> list[Mutant]:
    """Those that are not equivalent, or ``count`` of them that a seed draws."""
    wrong = [mutant for mutant in mutants if mutant.equivalent is None]
    if count is None or count >= len(wrong):
        return wrong
    return sorted(Random(seed).sample(wrong, count), key=lambda mutant: mutant.id)


def to_markdown(found: Sequence[Diagnosed]) -> str:
    """The share that is right, cause by cause, and every mutant that was taken for something else."""
    named = [each for each in found if each.named is not None]
    shares = Counter(each.share for each in found)
    told = ", ".join(f"{share} {shares[share]} ({shares[share] / len(found):.1%})" for share in SHARES if found)
    lines = [f"Of {len(found)} mutants the cause named first is: {told}."]
    if named:
        groups = sorted(each.groups for each in named)
        beside = sum(each.beside for each in named) / sum(each.cases for each in named)
        lines.append(f"Causes per mutant: median {median(groups):g}, 90th percentile {groups[9 * len(groups) // 10]}.")
        lines.append(f"Of their failing cases {beside:.1%} stand beside those that the cause foretells.")
    lines += [
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
            session = Session(implementation, implementation.describe(), dtype, mutant.form or None)
            verdicts = [v for v in execute(check, session) if v.level is not Level.SHOULD]
            for piece in investigator.evidence(check, session, verdicts):
                pieces[piece.check, dtype] = piece
            failed[place] += any(verdict.status.breaks for verdict in verdicts)
    found = diagnose(list(pieces.values()))
    named = found[0].cause.value if found else None
    beside = sum(len(group.beside) for group in found)
    return Diagnosed(mutant.id, mutant.cause.value, named, len(pieces), len(found), beside)


def _diagnosed_by_id(mutant: str) -> Diagnosed:
    wrong = mutants_by_id()[mutant]
    return _diagnosed(wrong, whole_suite(profile_of(wrong.stem)))
