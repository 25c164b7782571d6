"""Diagnosis: the fewest causes that explain the failures of a report, the one that explains most first.

It reads the report's evidence and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conformance.contract.verdict import Level, Status
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.grade import Grade
from conformance.record.report import Report

__all__ = ["Diagnosis", "causes_of", "diagnose", "diagnosis_of", "is_same_factor"]

_APART = 1e-4
"""How far, relatively, two estimates of one factor may be apart."""

_NEARER = 4.0
"""How many times nearer to each other than to 1 they have to be."""

_SHARED = 3
"""Cases of different inputs, and half of those off by any factor, that have to share it for it to be no coincidence."""

_COMPARED = 200
"""Cases whose factors are compared with each other."""

Clues = Mapping[Cause, Grade]

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
    kept = {(piece.check, piece.dtype) for piece in pieces}
    died = {(v.check, v.dtype): None for v in verdicts if v.status.breaks and v.status is not Status.FAILED}
    pieces += [
        Evidence(check, dtype, {Cause.REFUSES: Grade.EXACT}) for check, dtype in died if (check, dtype) not in kept
    ]
    return Diagnosis(
        diagnose([piece for piece in pieces if (piece.check, piece.dtype) in hard]),
        diagnose([piece for piece in pieces if (piece.check, piece.dtype) not in hard]),
    )


def causes_of(report: Report) -> dict[tuple[str, str], Cause]:
    """The likeliest cause of every failing case, by check and dtype."""
    return diagnosis_of(report).by_case()


def diagnose(pieces: Sequence[Evidence]) -> list[tuple[Cause, list[Evidence]]]:
    """The causes in the order in which they explain most of what is left, each with the cases it explains.

    One mistake fails many cases, and each case fits several mistakes; so the mistake that fits best over all is taken
    for what it explains, and the rest is looked at again. What foretells the first array that is wrong explains the
    case: what is computed after it follows from it, or is another mistake's, whose own cases show it. Another formula
    explains whatever it likes: where that is the mistake, what is left is named for numbers that are foretold, and for
    no mere pattern.
    """
    factors = [(piece.factor, _inputs(piece)) for piece in pieces if piece.factor is not None][:_COMPARED]
    left = [(piece, _with_first(piece, _with_shared_factor(piece, factors))) for piece in pieces if piece.causes]
    found: list[tuple[Cause, list[Evidence]]] = []
    while left:
        cause = _best(causes for _, causes in left)
        fits = [cause in piece.first or cause in _fitting(causes) or _covered(cause, causes) for piece, causes in left]
        found.append((cause, [piece for (piece, _), fit in zip(left, fits, strict=True) if fit]))
        left = [each for each, fit in zip(left, fits, strict=True) if not fit]
    return found


def _covered(cause: Cause, causes: Clues) -> bool:
    """Whether another formula, once it is what is wrong, explains a case as well as anything does."""
    return cause is Cause.UNNAMEABLE and max(causes.values()) <= Grade.PATTERN


def _with_first(piece: Evidence, causes: Clues) -> Clues:
    """The causes of a case; where all are hints, what foretells the first array that is wrong is more than that."""
    if max(causes.values()) > Grade.HINT:
        return causes
    return {**causes, **dict.fromkeys(sorted(piece.first), Grade.PATTERN)}


def _with_shared_factor(piece: Evidence, factors: Sequence[tuple[float, str]]) -> Clues:
    """The causes of a case; a factor that no count explains tells more where cases of other numbers have it, too."""
    factor = piece.factor
    if factor is None or Cause.COMMON_FACTOR not in piece.causes:
        return piece.causes
    same = [given for other, given in factors if is_same_factor(other, factor)]
    shared = len(set(same)) >= _SHARED and 2 * len(same) >= len(factors)
    return {**piece.causes, Cause.COMMON_FACTOR: Grade.PARTLY} if shared else piece.causes


def is_same_factor(one: float, other: float) -> bool:
    """Whether two are estimates of one factor, and not both of 1, from which noise keeps them."""
    return abs(one - other) <= min(_APART * abs(other), abs(other - 1) / _NEARER)


def _inputs(piece: Evidence) -> str:
    """What tells the numbers of two cases apart, whatever their nets do with them."""
    return str([array.tobytes() for array in piece.case.inputs.values()]) if piece.case is not None else ""


def _fitting(causes: Clues) -> Clues:
    """The causes that explain a case as well as its best one, or nearly; where all are hints, none has a name."""
    best = max(causes.values())
    if best is Grade.HINT:
        return {cause: grade for cause, grade in causes.items() if cause is Cause.UNNAMEABLE} or causes
    return {cause: grade for cause, grade in causes.items() if grade >= max(best - 1, Grade.PATTERN)}


def _best(cases: Iterable[Clues]) -> Cause:
    total: dict[Cause, int] = {}
    for causes in cases:
        for cause, grade in _fitting(causes).items():
            total[cause] = total.get(cause, 0) + grade
    return max(total, key=lambda cause: total[cause])
