"""A failing case of a report, found by the name that a person types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.diagnosis import Cause, Evidence
    from conformance.report.jsonl import Judged, Report

__all__ = ["FailingCase", "failing_case"]


@dataclass(frozen=True)
class FailingCase:
    """The verdicts that broke on a case in one dtype, its evidence and likeliest cause, where the report has any."""

    report: Report
    broken: tuple[Judged, ...]
    evidence: Evidence | None
    cause: Cause | None


def failing_case(path: Path, name: str, dtype: str | None) -> FailingCase:
    """CHECK or CHECK[TYPE] in a report; of several types the first that failed.

    Raises `UsageError` where the report has no such case, or it failed nothing.
    """
    from conformance.errors import UsageError, unknown
    from conformance.report.evidence import causes_of, evidence_of
    from conformance.report.jsonl import read_report

    report = read_report(path)
    for each in ("float32", "float64"):
        if name.endswith(f"[{each}]"):
            name, dtype = name[: -len(each) - 2], each
    named = [judged for judged in report.judged if judged.verdict.check == name]
    if not named:
        raise unknown("case", name, {judged.verdict.check for judged in report.judged})
    broken = [j for j in named if j.verdict.status.breaks and dtype in (None, j.verdict.dtype)]
    if not broken:
        raise UsageError(
            f"{name}{f' in {dtype}' if dtype else ''} failed nothing in {path}: there is nothing to explain"
        )
    key = (name, broken[0].verdict.dtype)
    piece = next((piece for piece in evidence_of(report) if (piece.check, piece.dtype) == key), None)
    same = tuple(judged for judged in broken if judged.verdict.dtype == key[1])
    return FailingCase(report, same, piece, causes_of(report).get(key))
