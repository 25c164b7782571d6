"""Investigator: looks at what an implementation got wrong while its answers are at hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.check import Check
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Run, Session
from conformance.contract.verdict import Status, Verdict
from conformance.diagnosis.clues import Clues, clues_of
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.measured import NO_FORMULA, SLOPES, differences_of, has_formula, measured_clues
from conformance.judge.judgement import Judgement, judge_outcome, judgement_of
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.evidence import LARGEST, Evidence
from conformance.record.grade import Clue, Grade
from conformance.requirements import CATALOGUE
from refimpl.layers import REGISTRY

__all__ = ["Investigator", "requirements_of", "with_expectation"]

_THOROUGH = 16
"""Cases per family and layer whose numbers alone do not tell, and that are run as others would have read them."""

_IN_VAIN = 3
"""Of these, the cases in a row that no other reading may explain before no more are tried."""

_IN_VAIN_OF_A_LAYER = 12
"""The same for a layer in all families: a layer that is wrong everywhere would be run again for every case."""

_TOTAL = "loss = sum over layers and their tops of loss_weight * sum(top)"


class Investigator:
    """Gathers the evidence for failing verdicts; of many alike, only the first are looked at closely."""

    def __init__(self) -> None:
        self._runs_again: Counter[tuple[str, str]] = Counter()
        self._in_vain: Counter[tuple[str, str]] = Counter()
        self._in_vain_of: Counter[str] = Counter()
        self._named: defaultdict[str, set[Cause]] = defaultdict(set)

    def evidence(self, check: Check, session: Session, verdicts: Sequence[Verdict]) -> list[Evidence]:
        """One piece for every case among ``verdicts`` that broke."""
        broken: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            if verdict.status.breaks:
                broken.setdefault(verdict.check, []).append(verdict)
        return [self._piece(check, session, name, members) for name, members in broken.items()]

    def _may_be_thorough(self, key: tuple[str, str]) -> bool:
        if self._in_vain[key] >= _IN_VAIN or self._in_vain_of[key[1]] >= _IN_VAIN_OF_A_LAYER:
            return False
        self._runs_again[key] += 1
        return self._runs_again[key] <= _THOROUGH

    def _clues(self, key: tuple[str, str], run: Run, answer: Outcome | Refusal, dtype: str, judged: Judgement) -> Clues:
        """The clues of a run, and whether it was worth while to look closely."""
        before, known = self._runs_again[key], self._named[key[1]]
        clues = clues_of(run.case, answer, dtype, judged, lambda: self._may_be_thorough(key), known)
        known |= {cause for cause, grade in clues.causes.items() if grade is Grade.EXACT}
        if self._runs_again[key] != before:
            explained = max(clues.causes.values()) is Grade.EXACT
            self._in_vain[key] = 0 if explained else self._in_vain[key] + 1
            self._in_vain_of[key[1]] += not explained
        return clues

    def _piece(self, check: Check, session: Session, name: str, verdicts: Sequence[Verdict]) -> Evidence:
        said = requirements_of(verdict.requirement for verdict in verdicts)
        piece = Evidence(name, session.dtype, dict(_by_requirement(verdicts)), requirements=said)
        run = _shown(session, name, verdicts)
        if run is None:
            return piece
        piece = replace(piece, case=run.case, answer=run.answer)
        slopes = next((v.detail["slopes"] for v in verdicts if "slopes" in v.detail), None)
        if slopes is not None:
            return _beside_slopes(piece, slopes, next(v.detail["weight"] for v in verdicts if "slopes" in v.detail))
        if not has_formula(run.case):
            return replace(piece, formula=NO_FORMULA).bounded()
        judgement = None if run.answer is None else judgement_of(run, session)
        if judgement is not None and run.answer is not None and judgement.failures and not piece.causes:
            clues = self._clues((check.family, check.layer), run, run.answer, session.dtype, judgement)
            piece = replace(piece, causes=clues.causes, first=clues.first, factor=clues.factor)
        return with_expectation(piece, session.dialect, judgement)


def with_expectation(piece: Evidence, dialect: str | None, judgement: Judgement | None = None) -> Evidence:
    """The evidence with what its answer was held against, cut to what a report keeps.

    Where there was no outcome, that is what the reference computes, or its refusal; ``judgement`` is that of the
    outcome, if there was one.
    """
    case = piece.case
    if case is None:
        return piece
    if not has_formula(case):
        return replace(piece, formula=NO_FORMULA).bounded()
    if isinstance(piece.answer, Outcome):
        if judgement is None or (judgement.refusal is None and not judgement.versions):
            judgement = judge_outcome(case, piece.answer, piece.dtype, dialect)  # accepted: what failed is a relation
        if judgement.refusal is not None:
            said = judgement.refusal
            return replace(piece, refusal=Refusal(said.stage, str(said), said.layer)).bounded()
        arrays = _arrays(judgement, piece.dtype)
        return replace(piece, arrays=arrays, formula=_formula(arrays)).bounded()
    if piece.size > LARGEST:
        return piece.bounded()
    wanted = ReferenceImplementation("bvlc" if dialect == "bvlc" else "documented").run(case, piece.dtype)
    if isinstance(wanted, Refusal):
        return replace(piece, refusal=wanted).bounded()
    arrays = _arrays(judge_outcome(case, wanted, piece.dtype, dialect), piece.dtype)
    arrays = tuple(replace(array, got=array.got[:0]) for array in arrays)
    return replace(piece, arrays=arrays, formula=_formula(arrays)).bounded()


def _beside_slopes(piece: Evidence, slopes: Mapping[str, Any], weight: float) -> Evidence:
    """The evidence on gradients that are no slopes of the reported loss; nothing else is compared."""
    differences = differences_of(slopes, piece.dtype)
    clues = measured_clues(differences, weight)
    arrays = tuple(difference.deviation(not difference.rejected.any()) for difference in differences)
    arrays = tuple(sorted(arrays, key=lambda array: not array.rejected))
    return replace(piece, causes=clues.causes, factor=clues.factor, arrays=arrays, formula=SLOPES).bounded()


def _arrays(judgement: Judgement, dtype: str) -> tuple[Deviation, ...]:
    """Everything that the judge compared, what it rejected first."""
    rejected = {(f.kind, f.element.blob) for f in judgement.failures if f.element is not None}
    differences = (Difference.of(versions, dtype) for versions in zip(*judgement.versions, strict=True))
    deviations = [d.deviation((d.aspect, d.blob) not in rejected) for d in differences if d is not None]
    return tuple(sorted(deviations, key=lambda deviation: not deviation.rejected))


def _formula(arrays: Sequence[Deviation]) -> str:
    """What the reference says of the layer, or the net, that answers for the first wrong array."""
    wrong = [array for array in arrays if array.rejected]
    if wrong and wrong[0].aspect == "total":
        return _TOTAL
    types = [array.layer_type for array in wrong if array.layer_type in REGISTRY]
    types += [array.layer_type for array in arrays if array.layer_type.endswith("Loss")]
    lines = (REGISTRY[types[0]].__doc__ or "").replace("`", "").strip().splitlines() if types else ()
    return "\n".join(line.strip() for line in lines)


def requirements_of(ids: Iterable[str]) -> dict[str, str]:
    """What these requirements say, and where Caffe says so."""
    return {name: f"{CATALOGUE[name].statement} [{CATALOGUE[name].citation}]" for name in ids if name in CATALOGUE}


def _by_requirement(verdicts: Sequence[Verdict]) -> Iterator[Clue]:
    """What the verdicts say by themselves."""
    if any(verdict.status is not Status.FAILED for verdict in verdicts):
        yield Cause.REFUSES, Grade.EXACT
    for verdict in verdicts:
        if verdict.requirement.startswith("determinism."):
            after_another = "after another case" in verdict.reason
            yield (Cause.STALE_BUFFER if after_another else Cause.RANDOM), Grade.EXACT


def _shown(session: Session, name: str, verdicts: Sequence[Verdict]) -> Run | None:
    """The run that shows what the verdicts are about: the first without an answer that the judge accepts, else the
    first of all."""
    carried = next((str(v.detail["case"]) for v in verdicts if "case" in v.detail), None)
    runs = [run for run in session.runs if run.case.id == name] or list(session.runs)
    if carried is not None:
        runs = [run for run in runs if json.dumps(run.case.to_json()) == carried] or runs
    for run in runs:
        if run.answer is None or not has_formula(run.case) or judgement_of(run, session).failures:
            return run
    return runs[0] if runs else None
