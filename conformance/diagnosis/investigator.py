"""Investigator: looks at what an implementation got wrong while its answers are at hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from conformance.contract.session import Run, Session
from conformance.contract.verdict import Status, Verdict
from conformance.diagnosis.clues import clues_of
from conformance.diagnosis.evidence import Evidence
from conformance.judge.judgement import Judgement, judge_outcome
from conformance.record.cause import Cause

if TYPE_CHECKING:
    from conformance.contract.check import Check

__all__ = ["Investigator"]

_THOROUGH = 16
"""Cases per family, layer and type whose numbers alone do not tell, and that are run as others would have read them."""


class Investigator:
    """Gathers the evidence for failing verdicts; of many alike, only the first are looked at closely."""

    def __init__(self) -> None:
        self._runs_again: Counter[tuple[str, str, str]] = Counter()

    def evidence(self, check: Check, session: Session, verdicts: Sequence[Verdict]) -> list[Evidence]:
        """One piece for every case among ``verdicts`` that broke."""
        broken: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            if verdict.status.breaks:
                broken.setdefault(verdict.check, []).append(verdict)
        return [self._piece(check, session, name, members) for name, members in broken.items()]

    def _may_be_thorough(self, key: tuple[str, str, str]) -> bool:
        self._runs_again[key] += 1
        return self._runs_again[key] <= _THOROUGH

    def _piece(self, check: Check, session: Session, name: str, verdicts: Sequence[Verdict]) -> Evidence:
        causes = dict(_by_requirement(verdicts))
        factor: float | None = None
        run, judgement = _telling(session, name, verdicts)
        if run is None:
            return Evidence(name, session.dtype, causes)
        if run.answer is not None and judgement is not None and not causes:
            key = (check.family, check.layer, session.dtype)
            clues = clues_of(run.case, run.answer, session.dtype, judgement, lambda: self._may_be_thorough(key))
            causes, factor = dict(clues.causes), clues.factor
        return Evidence(name, session.dtype, causes, run.case, run.answer, factor=factor).bounded()


def _by_requirement(verdicts: Sequence[Verdict]) -> Iterator[tuple[Cause, float]]:
    """What the verdicts say by themselves."""
    if any(verdict.status is not Status.FAILED for verdict in verdicts):
        yield Cause.REFUSES, 1.0
    for verdict in verdicts:
        if verdict.requirement.startswith("determinism."):
            after_another = "after another case" in verdict.reason
            yield (Cause.STALE_BUFFER if after_another else Cause.RANDOM), 1.0


def _telling(session: Session, name: str, verdicts: Sequence[Verdict]) -> tuple[Run | None, Judgement | None]:
    """The run that shows what the verdicts are about: the first that the judge rejects, else the first of all."""
    told = next((str(v.detail["case"]) for v in verdicts if "case" in v.detail), None)
    runs = [run for run in session.runs if run.case.id == name] or list(session.runs)
    if told is not None:
        runs = [run for run in runs if json.dumps(run.case.to_json()) == told] or runs
    for run in runs:
        if run.answer is None:
            return run, None
        judgement = judge_outcome(run.case, run.answer, session.dtype, session.dialect)
        if judgement.failures:
            return run, judgement
    return (runs[0], None) if runs else (None, None)
