"""Readings: how far a report's losses and gradients are from the best that their types allow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from conformance.record.report import Report

__all__ = ["Reading", "readings_of"]

_PARTS = {"forward": "loss", "backward": "gradient"}
"""Requirements that are about one array each, and what it is."""


@dataclass(frozen=True)
class Reading:
    """Of one array of a loss in one claim of types: the middle of its errors over the best one's, the largest, and in
    which check."""

    stem: str
    part: str
    dtype: str
    count: int
    middle: float
    largest: float
    check: str

    @property
    def name(self) -> str:
        return f"{self.stem} {self.part}"

    @property
    def words(self) -> str:
        return f"{self.largest:.3g} x the best at {self.check}, {self.middle:.2g} in the middle of {self.count}"


def readings_of(report: Report) -> list[Reading]:
    """The readings, the largest first; none in Caffe's own types."""
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = defaultdict(list)
    for judged in report.judged:
        verdict = judged.verdict
        stem, _, about = verdict.requirement.partition(".")
        if verdict.best is not None and about in _PARTS:
            found[stem, _PARTS[about], verdict.dtype].append((verdict.best, verdict.check))
    told = [
        Reading(*place, len(several), median(value for value, _ in several), *max(several))
        for place, several in found.items()
    ]
    return sorted(told, key=lambda each: (-each.largest, each.name, each.dtype))
