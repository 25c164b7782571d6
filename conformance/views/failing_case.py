"""A failing case of a report, found by the name that a person types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.contract.case import Case
from conformance.contract.errors import UsageError, one_line, unknown
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.item import TYPE
from conformance.diagnosis.diagnosis import diagnosis_of
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.reader import read_report
from conformance.record.report import Judged, Report

__all__ = ["FailingCase", "failing_case"]

_NAME = re.compile(
    rf"(?P<check>.+?)(?:\[(?P<a>{TYPE})\]| \((?P<b>{TYPE})\)| in (?P<c>{TYPE}))(?:[ ,:].*)?",
    re.DOTALL,
)
"""The ways in which reports, summaries and gates print a check with its type, and what may stand behind it."""


@dataclass(frozen=True)
class FailingCase:
    """The verdicts that broke on a case in one dtype, its evidence and likeliest cause, where the report has any.

    ``beside``: that cause foretells other cases of its group, and not this one.
    """

    report: Report
    broken: tuple[Judged, ...]
    evidence: Evidence | None
    cause: Cause | None
    beside: bool = False

    @property
    def not_kept(self) -> str:
        """Why the report has no case; empty where it has one."""
        if self.evidence is None or (self.evidence.case is None and not self.evidence.left_out):
            return "the check runs several nets, or died in a report that does not say which it ran"
        return self.evidence.left_out


def failing_case(path: Path, name: str, dtype: str | None) -> FailingCase:
    """CHECK in a report, or CHECK[TYPE], or as summaries print it; of several types the first that failed.

    Raises `UsageError` where the report has no such case, or it failed nothing.
    """
    report = read_report(path)
    checks = {judged.verdict.check for judged in report.judged}
    name, dtype = _split(name.strip(), dtype, checks)
    if name not in checks:
        raise unknown("case", name, checks, f"lossconf report {path}")
    failed = [j for j in report.judged if j.verdict.check == name and j.verdict.status.breaks]
    broken = [j for j in failed if dtype in (None, j.verdict.dtype)]
    if not broken:
        raise UsageError(
            f"{name}{f' in {dtype}' if dtype else ''} failed nothing in {path}: there is nothing to explain"
        )
    key = (name, broken[0].verdict.dtype)
    same = tuple(judged for judged in broken if judged.verdict.dtype == key[1])
    piece = next((piece for piece in evidence_of(report) if (piece.check, piece.dtype) == key), None)
    if piece is None or (piece.case is None and not piece.left_out):
        case = _carried(key[0], same)
        piece = replace(piece or Evidence(*key, {}), case=case).bounded() if case else piece
    diagnosis = diagnosis_of(report)
    return FailingCase(report, same, piece, diagnosis.by_case().get(key), key in diagnosis.beside())


def _split(name: str, dtype: str | None, checks: set[str]) -> tuple[str, str | None]:
    """A check's id and the type, from whatever of ours a person has copied."""
    found = None if name in checks else _NAME.fullmatch(name)
    return (found["check"], found["a"] or found["b"] or found["c"]) if found else (name, dtype)


def _carried(check: str, broken: Sequence[Judged]) -> Case | None:
    """The case that a verdict carries: the smallest one that a search has found.

    Raises `UsageError` where a verdict carries what is no case.
    """
    text = next((str(j.verdict.detail["case"]) for j in broken if "case" in j.verdict.detail), None)
    if text is None:
        return None
    try:
        with decoding():
            return Case.from_json(check, json_of(text))
    except Malformed as error:
        raise UsageError(f"the case that {check} carries cannot be read: {one_line(str(error), 120)}") from None
