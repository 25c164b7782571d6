"""Diagnosis: the fewest causes that explain the failures of a report, the one that explains most first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from conformance.diagnosis.cause import Cause

__all__ = ["diagnose"]

K = TypeVar("K")

_ENOUGH = 0.6
"""A case counts as explained by a cause that explains it this well beside its own best one."""


def diagnose(clues: Mapping[K, Mapping[Cause, float]]) -> list[tuple[Cause, list[K]]]:
    """The causes in the order in which they explain most of what is left, each with the cases it explains.

    One mistake fails many cases, and each case fits several mistakes; so the mistake that fits best over all is taken
    for what it explains, and the rest is looked at again.
    """
    left = {key: causes for key, causes in clues.items() if causes}
    found: list[tuple[Cause, list[K]]] = []
    while left:
        cause = _best(left.values())
        explained = [key for key, causes in left.items() if causes.get(cause, 0.0) >= _ENOUGH * max(causes.values())]
        found.append((cause, explained))
        left = {key: causes for key, causes in left.items() if key not in set(explained)}
    return found


def _best(cases: Iterable[Mapping[Cause, float]]) -> Cause:
    total: dict[Cause, float] = {}
    for causes in cases:
        for cause, weight in causes.items():
            total[cause] = total.get(cause, 0.0) + weight
    return max(total, key=lambda cause: total[cause])
