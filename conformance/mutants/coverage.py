"""Coverage: which `must` requirements a mutant fails, that is, which of them the suite can be seen to check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.contract.verdict import Level
from conformance.engine.execution import execute
from conformance.mutants.matrix import DTYPES, concerned
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.mutants.right_answers import RightAnswers
from conformance.requirements import CATALOGUE

__all__ = ["covered"]


def covered(mutants: Sequence[Mutant], checks: Sequence[Check]) -> dict[str, str | None]:
    """Every `must` that the checks serve, and the first mutant that fails it, None where none does."""
    served = {name for check in checks for name in check.requirements}
    failed: dict[str, str | None] = {name: None for name in served if CATALOGUE[name].level is Level.MUST}
    right_answers = {mutant.dialect: RightAnswers(mutant.dialect) for mutant in mutants}
    for mutant in mutants:
        for requirement in _failed(mutant, checks, failed, right_answers[mutant.dialect]):
            failed[requirement] = failed.get(requirement) or mutant.id
    return failed


def _failed(
    mutant: Mutant, checks: Sequence[Check], known: dict[str, str | None], right: RightAnswers
) -> Iterator[str]:
    """The requirements that a mutant fails, among those that no other has failed so far."""
    implementation = MutantImplementation(mutant)
    for check in concerned(mutant, checks, large=True):
        for dtype in DTYPES:
            open_ones = [name for name in check.requirements if name in known and known[name] is None]
            if dtype in check.dtypes and open_ones and not right.matches(check, dtype, implementation):
                session = Session(implementation, implementation.describe(), dtype)
                for verdict in execute(check, session):
                    if verdict.status.breaks and verdict.level is Level.MUST and verdict.requirement in known:
                        yield verdict.requirement
