"""Choosing: the cheapest kinds of checks that kill nearly every mutant, which is what a quick run is of.

Of the core checks in one type, those that tell a mutant from a right implementation are found mutant by mutant. A kind
is a check's id with a star for a loss's name, and costs what its checks of all losses cost. One kind after the other is
taken that kills the most of the mutants still alive for its time, until few are left; then those are left out again
without which no fewer die.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.contract.check import Check
from conformance.contract.dtypes import DEFAULT
from conformance.contract.session import Session
from conformance.contract.verdict import Level
from conformance.engine.execution import execute
from conformance.engine.patience import Patience
from conformance.losses import KNOWN, profile_of
from conformance.mutants import mutants_by_id
from conformance.mutants.matrix import concerned
from conformance.mutants.mutant import MutantImplementation
from conformance.mutants.pool import Hands, in_processes
from conformance.mutants.right_answers import right_answers_in
from conformance.suite import whole_suite

__all__ = ["SHARE", "Killers", "chosen", "cost_of", "killed", "killers_of", "kind_of"]

SHARE = 0.95
"""The share of the mutants that some check kills which the chosen ones are to kill."""

DTYPE = DEFAULT[-1]
"""The type with the sharper bounds."""

_SLOW = ("gradients", "properties", "training", "determinism")
"""Families that ask for many cases, or the same ones again, and kill what others kill."""

_LEAST = 0.002  # seconds that any item costs beside its cases


@dataclass(frozen=True)
class Killers:
    """A mutant and the kinds of checks that kill it."""

    mutant: str
    kinds: frozenset[str]


def kind_of(check: str) -> str:
    """A check's id with a star in the place of a loss."""
    return "/".join("*" if part in KNOWN else part for part in check.split("/"))


def killers_of(mutants: Sequence[str], hands: Hands = 1) -> Iterator[Killers]:
    """Of each mutant, by its id, all the kinds of checks that kill it."""
    if hands == 1:
        yield from map(_killers, mutants)
        return
    yield from in_processes(_killers, mutants, hands, together=4)


def _killers(name: str) -> Killers:
    mutant = mutants_by_id()[name]
    implementation, right = MutantImplementation(mutant), right_answers_in(mutant.dialect)
    found = set()
    for check in concerned(mutant, filter(_is_candidate, whole_suite(profile_of(mutant.stem)))):
        if right.matches(check, DTYPE, implementation):
            continue
        session = Session(implementation, implementation.describe(), DTYPE, mutant.form or None)
        verdicts = execute(check, session, Patience(1))
        if any(verdict.status.breaks and verdict.level is not Level.SHOULD for verdict in verdicts):
            found.add(kind_of(check.id))
    return Killers(name, frozenset(found))


def _is_candidate(check: Check) -> bool:
    return check.core and check.family not in _SLOW and DTYPE in check.dtypes and not check.undefined


def cost_of(checks: Iterable[Check]) -> dict[str, float]:
    """Processor seconds that the checks of each kind take of the reference and the judge, the second time they run."""
    from conformance.adapters.reference import ReferenceImplementation

    right, found = ReferenceImplementation(), defaultdict[str, float](float)
    for check in filter(_is_candidate, checks):
        spent = 0.0
        for _ in range(2):
            began = time.process_time()
            execute(check, Session(right, right.describe(), DTYPE))
            spent = time.process_time() - began
        found[kind_of(check.id)] += spent + _LEAST
    return dict(found)


def killed(kinds: frozenset[str], found: Sequence[Killers]) -> int:
    """How many mutants some kinds of checks kill."""
    return sum(not kinds.isdisjoint(each.kinds) for each in found)


def chosen(found: Sequence[Killers], cost: Mapping[str, float], share: float = SHARE) -> frozenset[str]:
    """The kinds that kill so large a share of the mutants that any kind kills."""
    alive = {i for i, each in enumerate(found) if each.kinds}
    wanted, killing = share * len(alive), {kind: {i for i in alive if kind in found[i].kinds} for kind in cost}
    taken: frozenset[str] = frozenset()
    while killed(taken, found) < wanted:
        best = max(killing, key=lambda kind: (len(killing[kind] & alive) / cost[kind], kind))
        taken, alive = taken | {best}, alive - killing[best]
    for kind in sorted(taken, key=lambda kind: -cost[kind]):
        if killed(taken - {kind}, found) >= wanted:
            taken = taken - {kind}
    return taken
