"""Rows: every check of a report as the page's script reads it: small lists that point into tables of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.contract.verdict import Status, Verdict
from conformance.record.cause import Cause
from conformance.record.conclusion import is_must
from conformance.record.report import Judged, Report
from conformance.views.text import headroom_told, printable

__all__ = ["STATES", "Words", "rows_of", "state_of"]

STATES = ("failed", "known", "undecided", "recommendation", "passed", "declined", "not-applicable")
"""What a check as a whole can be, the worst first."""

_REASON = 1000

Key = tuple[str, str, str]


class Words:
    """A table of strings, each held once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: object, width: int = _REASON) -> int:
        """Where a text stands in the table."""
        return self._places.setdefault(printable(text, width), len(self._places))

    def to_json(self) -> list[str]:
        return list(self._places)


def rows_of(report: Report, words: Words, known: set[Key], causes: Mapping[tuple[str, str], Cause]) -> list[list[Any]]:
    """[check, dtype, family, stem, state, cause, headroom, seconds, verdicts] for each check, failing ones first.

    A verdict is [requirement, status, level, headroom, reason, side]. Texts, headrooms among them, are places in
    ``words``, -1 for none.
    """
    grouped: dict[tuple[str, str], list[Judged]] = {}
    for judged in report.judged:
        grouped.setdefault((judged.verdict.check, judged.verdict.dtype), []).append(judged)
    rows = [_row(key, members, words, known, causes.get(key)) for key, members in grouped.items()]
    return sorted(rows, key=lambda row: row[4])


def state_of(verdicts: Sequence[Verdict], known: set[Key]) -> str:
    """One of `STATES` for a check's verdicts."""
    claimed = [v for v in verdicts if is_must(v) and not v.limit]
    broken = [v for v in claimed if v.status.breaks]
    if broken:
        return "known" if all((v.check, v.dtype, v.requirement) in known for v in broken) else "failed"
    if not all(v.status.decides for v in claimed):
        return "undecided"
    if any(v.status.breaks for v in verdicts if not is_must(v)):
        return "recommendation"
    if any(v.status is Status.PASSED for v in verdicts):
        return "passed"
    return "declined" if any(v.limit for v in verdicts) else "not-applicable"


def _row(
    key: tuple[str, str], members: Sequence[Judged], words: Words, known: set[Key], cause: Cause | None
) -> list[Any]:
    verdicts = [judged.verdict for judged in members]
    rooms = [v.headroom for v in verdicts if v.headroom is not None]
    times = [v.seconds for v in verdicts if v.seconds is not None]
    return [
        words.place(key[0]),
        words.place(key[1]),
        words.place(members[0].family),
        words.place(members[0].stem),
        STATES.index(state_of(verdicts, known)),
        words.place(cause.sentence) if cause else -1,
        words.place(headroom_told(min(rooms))) if rooms else -1,
        max(times) if times else None,
        [_verdict(verdict, words) for verdict in verdicts],
    ]


def _verdict(verdict: Verdict, words: Words) -> list[Any]:
    return [
        words.place(verdict.requirement),
        words.place(verdict.status.value),
        words.place(verdict.level.value),
        -1 if verdict.headroom is None else words.place(headroom_told(verdict.headroom)),
        words.place(verdict.reason) if verdict.reason else -1,
        words.place(verdict.side) if verdict.side else -1,
    ]
