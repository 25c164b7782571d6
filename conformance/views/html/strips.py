"""Strips: how much room the verdicts that passed had left, by layer and type; one bar per power of two."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from conformance.contract.verdict import Status
from conformance.record.report import Report

__all__ = ["BARS", "Strip", "strips_of"]

BARS = 16
"""Bars of a strip: headrooms from 1 to 2, from 2 to 4, and so on; the last also holds what is larger."""


@dataclass(frozen=True)
class Strip:
    """``bars`` are shares of the tallest one in percent, ``exact`` counts verdicts where nothing was off at all."""

    stem: str
    dtype: str
    bars: tuple[int, ...]
    counts: tuple[int, ...]
    exact: int
    smallest: float


def strips_of(report: Report) -> list[Strip]:
    """A strip per layer and type, in the order of their names."""
    rooms: dict[tuple[str, str], list[float]] = defaultdict(list)
    for judged in report.judged:
        verdict = judged.verdict
        if verdict.status is Status.PASSED and verdict.headroom is not None and verdict.headroom >= 1:
            rooms[judged.stem, verdict.dtype].append(verdict.headroom)
    return [_strip(stem, dtype, found) for (stem, dtype), found in sorted(rooms.items())]


def _strip(stem: str, dtype: str, rooms: list[float]) -> Strip:
    counts = [0] * BARS
    for room in rooms:
        if math.isfinite(room):
            counts[min(BARS - 1, int(math.log2(room)))] += 1
    tallest = max(1, *counts)
    bars = tuple(math.ceil(100 * count / tallest) for count in counts)
    exact = sum(math.isinf(room) for room in rooms)
    return Strip(stem, dtype, bars, tuple(counts), exact, min(rooms))
