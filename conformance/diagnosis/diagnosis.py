"""Diagnosis: the fewest causes that explain the failures of a report, the one that explains most first.

It reads the report's evidence and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from conformance.contract.verdict import Level, Status
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.grade import Grade
from conformance.record.report import Report

__all__ = ["Diagnosis", "Group", "causes_of", "diagnose", "diagnosis_of", "is_same_factor"]

_APART = 1e-4
"""How far, relatively, two estimates of one factor may be apart."""

_NEARER = 4.0
"""How many times nearer to each other than to 1 they have to be."""

_SHARED = 3
"""Cases of different inputs, and half of those off by any factor, that have to share it for it to be no coincidence."""

_REPEATED = 5
"""Cases of different inputs in which a mere pattern has to repeat to tell of a mistake where another is known."""

_COMPARED = 200
"""Cases whose factors are compared with each other."""

Clues = Mapping[Cause, Grade]


@dataclass(frozen=True)
class Group:
    """What one mistake is taken to have done: the cases that ``cause`` explains, and those ``beside`` them.

    Those are wrong in the same arrays of the same layers, are half as many at most, and neither this cause nor any
    other is shown by them: more of this mistake than signs of another.
    """

    cause: Cause
    explained: Sequence[Evidence]
    beside: Sequence[Evidence] = ()

    @property
    def cases(self) -> list[Evidence]:
        return [*self.explained, *self.beside]


@dataclass(frozen=True)
class Diagnosis:
    """What explains the failures that break conformance, and what explains those that only break recommendations."""

    failures: Sequence[Group]
    recommendations: Sequence[Group]

    def by_case(self) -> dict[tuple[str, str], Cause]:
        """The likeliest cause of every failing case, by check and dtype."""
        return _by_case((*self.recommendations, *self.failures))

    def by_recommended_case(self) -> dict[tuple[str, str], Cause]:
        """The likeliest cause of every case that breaks recommendations and nothing else.

        What breaks conformance in a case seldom explains the recommendation that it breaks, too.
        """
        return _by_case(self.recommendations)

    def beside(self) -> frozenset[tuple[str, str]]:
        """The failing cases that their group's cause does not foretell, by check and dtype."""
        groups = (*self.recommendations, *self.failures)
        return frozenset((piece.check, piece.dtype) for group in groups for piece in group.beside)


def _by_case(groups: Iterable[Group]) -> dict[tuple[str, str], Cause]:
    return {(piece.check, piece.dtype): group.cause for group in groups for piece in group.cases}


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


def diagnose(pieces: Sequence[Evidence]) -> list[Group]:
    """The causes in the order in which they explain most of what is left, each with the cases it explains.

    One mistake fails many cases, and each case fits several mistakes; so the mistake that fits best over all is taken
    for what it explains, and the rest is looked at again. What foretells the first array that is wrong explains the
    case: what is computed after it follows from it, or is another mistake's, whose own cases show it. Another formula
    explains whatever it likes: where that is the mistake, what is left is named for numbers that are foretold, and for
    no mere pattern. A few cases that show no cause of their own tell of no second mistake where the first is at work:
    they stand beside those that it explains.
    """
    factors = [(piece.factor, _inputs(piece)) for piece in pieces if piece.factor is not None][:_COMPARED]
    left = [(piece, _with_first(piece, _with_shared_factor(piece, factors))) for piece in pieces if piece.causes]
    found: list[Group] = []
    while left:
        cause = _best(causes for _, causes in left)
        fits = [cause in piece.first or cause in _fitting(causes) or _covered(cause, causes) for piece, causes in left]
        group = Group(cause, [piece for (piece, _), fit in zip(left, fits, strict=True) if fit])
        host = None if _is_shown(group) else next((i for i, one in enumerate(found) if _hosts(one, group)), None)
        if host is None:
            found.append(group)
        else:
            found[host] = replace(found[host], beside=[*found[host].beside, *group.explained])
        left = [each for each, fit in zip(left, fits, strict=True) if not fit]
    return found


def _is_shown(group: Group) -> bool:
    """Whether the cases of a group show its cause: one by all of its numbers, several by some, more by their places."""
    if group.cause is Cause.UNNAMEABLE:
        return False
    inputs: dict[Grade, set[str]] = {grade: set() for grade in Grade}
    for piece in group.explained:
        grade = piece.causes.get(group.cause, Grade.HINT)
        inputs[max(grade, Grade.PARTLY) if group.cause in piece.first else grade].add(_inputs(piece) or piece.check)
    some = inputs[Grade.PARTLY]
    return bool(inputs[Grade.EXACT]) or len(some) >= _SHARED or len(some | inputs[Grade.PATTERN]) >= _REPEATED


def _hosts(group: Group, rest: Group) -> bool:
    """Whether a rest is of the arrays that a group's mistake gets wrong, and no more than half of what it explains."""
    places = {place for piece in group.explained for place in _places(piece)}
    alike = all(piece.wrong and places.issuperset(_places(piece)[:1]) for piece in rest.explained)
    return alike and 2 * (len(group.beside) + len(rest.explained)) <= len(group.explained)


def _places(piece: Evidence) -> list[tuple[str, str]]:
    """The kinds of arrays that are wrong, the first first: of which type of layer, and which of its arrays.

    The total is of whatever it is summed from.
    """
    return [(array.layer_type, array.aspect) for array in piece.wrong if array.aspect != "total"]


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
