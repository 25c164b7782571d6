"""What a report holds besides verdicts: the evidence of its failing cases, and the causes that it points to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.contract.errors import UsageError, one_line
from conformance.contract.verdict import Level, Status
from conformance.diagnosis.diagnosis import diagnose
from conformance.diagnosis.evidence import Evidence
from conformance.record.cause import Cause
from conformance.record.report import Report

__all__ = ["Diagnosis", "causes_of", "diagnosis_of", "evidence_of"]

Found = Sequence[tuple[Cause, list[Evidence]]]
"""Causes with the cases that they explain."""


@dataclass(frozen=True)
class Diagnosis:
    """What explains the failures that break conformance, and what explains those that only break recommendations."""

    failures: Found
    recommendations: Found

    def by_case(self) -> dict[tuple[str, str], Cause]:
        """The likeliest cause of every failing case, by check and dtype."""
        return _by_case((*self.recommendations, *self.failures))

    def by_recommended_case(self) -> dict[tuple[str, str], Cause]:
        """The likeliest cause of every case that breaks recommendations and nothing else.

        What breaks conformance in a case seldom explains the recommendation that it breaks, too.
        """
        return _by_case(self.recommendations)


def _by_case(found: Found) -> dict[tuple[str, str], Cause]:
    return {(piece.check, piece.dtype): cause for cause, pieces in found for piece in pieces}


def diagnosis_of(report: Report) -> Diagnosis:
    """The causes that a report's evidence points to; what a process took with it as it died has none, and needs none.

    Raises `UsageError` for evidence that cannot be read.
    """
    verdicts = [judged.verdict for judged in report.judged]
    hard = {(v.check, v.dtype) for v in verdicts if v.status.breaks and v.level is not Level.SHOULD}
    pieces = evidence_of(report)
    told = {(piece.check, piece.dtype) for piece in pieces}
    died = {(v.check, v.dtype): None for v in verdicts if v.status.breaks and v.status is not Status.FAILED}
    pieces += [Evidence(check, dtype, {Cause.REFUSES: 1.0}) for check, dtype in died if (check, dtype) not in told]
    return Diagnosis(
        diagnose([piece for piece in pieces if (piece.check, piece.dtype) in hard]),
        diagnose([piece for piece in pieces if (piece.check, piece.dtype) not in hard]),
    )


def causes_of(report: Report) -> dict[tuple[str, str], Cause]:
    """The likeliest cause of every failing case, by check and dtype."""
    return diagnosis_of(report).by_case()


def evidence_of(report: Report) -> list[Evidence]:
    """The evidence in a report. Raises `UsageError` for a piece that is none."""
    return [_read(line) for line in report.evidence]


def _read(line: Mapping[str, object]) -> Evidence:
    try:
        return Evidence.from_json(line)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(f"the evidence on {line.get('check')} cannot be read: {one_line(str(error), 120)}") from None
