"""Report: what a run found: ``report.jsonl`` is the truth, and everything a person sees is rendered from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.contract.verdict import Level, Status, Verdict

__all__ = ["READABLE", "SCHEMA", "Judged", "Report", "conforms"]

SCHEMA = 2
"""The version of the report's format that is written."""

READABLE = (1, SCHEMA)
"""Versions that are read; evidence of version 1 does not hold what was wanted."""


@dataclass(frozen=True)
class Judged:
    """A verdict and its place: ``family`` is the suite module, ``stem`` the layer it is about, or "net"."""

    family: str
    stem: str
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """What a report file says. Without a footer the run did not end by itself, and the report is incomplete.

    ``harness_errors`` are failures of the suite, not of the implementation: such a run says nothing. ``evidence`` are
    the cases that failed with what was answered, ``ended`` the items that ran to their end; both as they are written.
    """

    header: Mapping[str, Any]
    judged: tuple[Judged, ...] = ()
    harness_errors: tuple[Mapping[str, Any], ...] = ()
    footer: Mapping[str, Any] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    ended: tuple[Mapping[str, Any], ...] = ()

    @property
    def complete(self) -> bool:
        return self.footer is not None

    @property
    def counts(self) -> Counter[str]:
        """How many verdicts of each status."""
        return Counter(judged.verdict.status.value for judged in self.judged)


def conforms(judged: list[Verdict] | tuple[Verdict, ...]) -> bool:
    """Whether nothing that counts is broken, and something has passed: a run that judged nothing shows nothing."""
    broken = any(verdict.status.breaks and verdict.level is not Level.SHOULD for verdict in judged)
    return not broken and any(verdict.status is Status.PASSED for verdict in judged)
