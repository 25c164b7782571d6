"""What a report holds besides verdicts: the evidence of its failing cases, and the causes that it points to."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.diagnosis import Cause, Evidence, diagnose
from conformance.errors import UsageError, one_line
from conformance.report.jsonl import Report

__all__ = ["causes_of", "evidence_of"]


def evidence_of(report: Report) -> list[Evidence]:
    """The evidence in a report. Raises `UsageError` for a piece that is none."""
    return [_read(line) for line in report.evidence]


def _read(line: Mapping[str, object]) -> Evidence:
    try:
        return Evidence.from_json(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the evidence on {line.get('check')} cannot be read: {one_line(str(error), 120)}") from None


def causes_of(report: Report) -> dict[tuple[str, str], Cause]:
    """The likeliest cause of every failing case, by check and dtype."""
    return {(piece.check, piece.dtype): cause for cause, pieces in diagnose(evidence_of(report)) for piece in pieces}
