"""Diagnosis: the fewest causes that explain the failures of a report, the one that explains most first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from conformance.diagnosis.clues import SAME_FACTOR
from conformance.diagnosis.evidence import Evidence
from conformance.record.cause import Cause

__all__ = ["diagnose"]

_ENOUGH = 0.6
"""A case counts as explained by a cause that explains it this well beside its own best one."""

_SHARED = 3
"""Cases of different inputs, and half of those off by any factor, that have to share it for it to be no coincidence."""

_COMPARED = 200
"""Cases whose factors are compared with each other."""

Clues = Mapping[Cause, float]


def diagnose(pieces: Sequence[Evidence]) -> list[tuple[Cause, list[Evidence]]]:
    """The causes in the order in which they explain most of what is left, each with the cases it explains.

    One mistake fails many cases, and each case fits several mistakes; so the mistake that fits best over all is taken
    for what it explains, and the rest is looked at again.
    """
    factors = [(piece.factor, _inputs(piece)) for piece in pieces if piece.factor is not None][:_COMPARED]
    left = [(piece, _with_shared_factor(piece, factors)) for piece in pieces if piece.causes]
    found: list[tuple[Cause, list[Evidence]]] = []
    while left:
        cause = _best(causes for _, causes in left)
        fits = [cause in _fitting(causes) for _, causes in left]
        found.append((cause, [piece for (piece, _), fit in zip(left, fits, strict=True) if fit]))
        left = [each for each, fit in zip(left, fits, strict=True) if not fit]
    return found


def _with_shared_factor(piece: Evidence, factors: Sequence[tuple[float, str]]) -> Clues:
    """The causes of a case; a factor that no count explains tells more where cases of other numbers have it, too."""
    factor = piece.factor
    if factor is None or Cause.COMMON_FACTOR not in piece.causes:
        return piece.causes
    same = [given for other, given in factors if abs(other / factor - 1) < SAME_FACTOR]
    shared = len(set(same)) >= _SHARED and 2 * len(same) >= len(factors)
    return {**piece.causes, Cause.COMMON_FACTOR: 0.9} if shared else piece.causes


def _inputs(piece: Evidence) -> str:
    """What tells the numbers of two cases apart, whatever their nets do with them."""
    return str([array.tobytes() for array in piece.case.inputs.values()]) if piece.case is not None else ""


def _fitting(causes: Clues) -> Clues:
    """The causes that explain a case well enough beside its best one."""
    best = max(causes.values())
    return {cause: weight for cause, weight in causes.items() if weight >= _ENOUGH * best}


def _best(cases: Iterable[Clues]) -> Cause:
    total: dict[Cause, float] = {}
    for causes in cases:
        for cause, weight in _fitting(causes).items():
            total[cause] = total.get(cause, 0.0) + weight
    return max(total, key=lambda cause: total[cause])
