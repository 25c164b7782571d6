"""Lost: the evidence on a check that took its process, and with it all that was known of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.diagnosis.investigator import requirements_of, with_expectation
from conformance.engine.execution import execute
from conformance.losses import PROFILES
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.record.grade import Grade
from conformance.suite import all_checks

__all__ = ["lost_evidence"]


def lost_evidence(
    check: str,
    dtype: str,
    requirements: Iterable[str],
    dialect: str | None,
    seed: int = 0,
    explore: int = 1,
    fresh: int = 0,
) -> Evidence:
    """The case that the suite gives in a check, and what the reference computes for it; where the check runs several
    cases, nobody knows which one it was."""
    piece = Evidence(check, dtype, {Cause.REFUSES: Grade.EXACT}, requirements=requirements_of(requirements))
    found = _checks(seed, explore).get(check)
    if found is None:
        return piece
    reference = ReferenceImplementation()
    session = Session(reference, reference.describe(), dtype, dialect, fresh=fresh)
    execute(found, session)
    cases = {run.case.digest(): run.case for run in session.runs}
    if len(cases) != 1:
        return piece
    (case,) = cases.values()
    return with_expectation(replace(piece, case=case), dialect)


@lru_cache(maxsize=1)
def _checks(seed: int, explore: int) -> dict[str, Check]:
    return {check.id: check for check in all_checks(seed=seed, explore=explore, profiles=tuple(PROFILES))}
