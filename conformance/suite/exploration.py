"""Exploration: rows drawn from the declared space of a loss by a seed, judged like any other case, and of what fails
the simplest row that still does.

No run holds this family that does not ask for it: ``lossconf explore`` does, block of seeds by block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.bounds import bounds_of
from conformance.losses import LOSSES, Loss
from conformance.losses.space import NOTHING, Space
from conformance.requirements import CATALOGUE
from conformance.suite.covering import Line
from conformance.suite.judged import judged
from conformance.suite.space import Point

__all__ = ["CASES", "FAMILY", "LETTERS", "checks", "drawn", "letters_of", "mark_of", "point_of", "shows", "smallest"]

FAMILY = "exploration"
REQUIREMENT = "properties.differential"

CASES = 12
"""Cases of a check that are judged: what a run that is killed has to do again at most."""

_DRAWN = 5 * CASES
"""The most that are drawn for them: some nobody's answer could be judged on, some an implementation declines."""

_SIZES = ("items", "entries")
"""Dimensions whose classes all are tried where one fails; of others the default is."""

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def checks(losses: Mapping[str, Loss] = LOSSES, seed: int = 1, explore: int = 1) -> Iterator[Check]:
    """A check for every loss and each of ``explore`` seeds, the first of which is ``seed``."""
    spaces = {stem: Space(loss) for stem, loss in losses.items()}
    for number in range(seed, seed + explore):
        for stem, space in spaces.items():
            check_id = f"{FAMILY}/{stem}/{number}"
            run = partial(_explored, check_id, space, number)
            yield Check(check_id, FAMILY, stem, (REQUIREMENT,), run, layer_types=(space.loss.type,))


def drawn(space: Space, seed: int) -> Iterator[Point]:
    """Points of a space whose cases are what they say, without end; a seed gives the same ones every time."""
    rng = np.random.default_rng([seed, *space.loss.stem.encode()])
    while True:
        row = {name: classes[int(rng.integers(len(classes)))] for name, classes in space.dimensions.items()}
        point = Point(space, Line(row, int(rng.integers(1, 2**31))))
        if space.allowed(row) and shows(point):
            yield point


def shows(point: Point) -> bool:
    """Whether the case is what its row says where that is a matter of sizes and chance: that the batch before was
    another one, that some answers are ignored and some are not."""
    case, row, loss = point.case(), point.row, point.loss
    before, last = (_data(one) for one in (case.sequence[0], case.sequence[-1]))
    sizes = before[loss.bottoms[0].name].size, last[loss.bottoms[0].name].size
    if (row.get("pass") == "smaller" and sizes[0] <= sizes[1]) or (
        row.get("pass") == "larger" and sizes[0] >= sizes[1]
    ):
        return False
    ignored = row.get("ignored", NOTHING)
    if ignored == NOTHING:
        return True
    answers = last[loss.answer.name]
    count = int((answers == float(row["ignore_label"])).sum())
    return {"some": 0 < count < answers.size, "all-but-one": 0 < count == answers.size - 1}.get(
        ignored, count == answers.size
    )


def _data(one: Pass) -> dict[str, Array]:
    """What a pass is given, by blob."""
    return {**one.inputs, **{name: arrays[0] for name, arrays in one.params.items()}}


def smallest(point: Point, breaks: Callable[[Point], bool]) -> Point:
    """The simplest point that breaks, looked for from one that does: class after class is set to its default, sizes to
    any smaller one, as long as that breaks, too. Its values are drawn anew with each row."""
    space, row = point.space, point.row
    again = True
    while again:
        again = False
        for name, classes in space.dimensions.items():
            simpler = classes[: classes.index(row[name])]
            for one in simpler if name in _SIZES else simpler[:1]:
                other = {**row, name: one}
                tried = Point(space, Line(other, point.line.draw))
                if space.allowed(other) and shows(tried) and breaks(tried):
                    row, again = other, True
                    break
    return Point(space, Line(row, point.line.draw))


def mark_of(space: Space) -> str:
    """What tells a space from one with other dimensions or classes, whose letters mean something else."""
    return hashlib.sha256(repr(space.dimensions).encode()).hexdigest()[:8]


def letters_of(space: Space, row: Mapping[str, str]) -> str:
    """A row in a report: a letter for each dimension, the place of its class."""
    return "".join(LETTERS[classes.index(row[name])] for name, classes in space.dimensions.items())


def point_of(space: Space, detail: Mapping[str, Any]) -> Point:
    """The point that a failing verdict tells of. Raises `KeyError`, `ValueError` or `TypeError` where it does not."""
    places = [LETTERS.index(letter) for letter in detail["row"]]
    names = space.dimensions.items()
    row = {name: classes[place] for (name, classes), place in zip(names, places, strict=True)}
    return Point(space, Line(row, int(detail["draw"])))


@dataclass
class _Explored:
    """What came of a check's cases: the rows of those that were decided, how many passed, and how many were not decided
    for which reason."""

    space: Space
    rows: list[str]
    passed: int = 0
    others: dict[str, int] = field(default_factory=dict)
    headroom: float | None = None
    undecided: Verdict | None = None
    first: Verdict | None = None

    def take(self, point: Point, verdicts: list[Verdict]) -> None:
        """One more case; it is decided where any of its requirements is."""
        if any(verdict.status.decides for verdict in verdicts):
            self.rows.append(letters_of(self.space, point.row))
        elif verdicts:
            why = f"{verdicts[0].status.value}: {verdicts[0].reason}"
            self.others[why] = self.others.get(why, 0) + 1
        for verdict in verdicts:
            self.first = self.first or verdict
            if verdict.status is Status.INCONCLUSIVE and verdict.level is not Level.SHOULD:
                self.undecided = self.undecided or verdict
            if verdict.headroom is not None and verdict.status is Status.PASSED:
                self.headroom = min(verdict.headroom, self.headroom or verdict.headroom)
        self.passed += any(v.status is Status.PASSED for v in verdicts) and not any(map(_breaks, verdicts))

    def verdict(self, check: str, dtype: str) -> Verdict:
        """One verdict for all that did not fail, with the rows of all that were decided."""
        level = CATALOGUE[REQUIREMENT].level
        detail = {"space": mark_of(self.space), "rows": self.rows, "others": self.others}
        undecided = self.undecided or (None if self.rows else self.first)
        if undecided is not None:
            return replace(undecided, check=check, requirement=REQUIREMENT, level=level, detail=detail)
        failed, others = len(self.rows) - self.passed, sum(self.others.values())
        reason = f"{self.passed} explored case(s)" + (f", {failed} failed" if failed else "")
        reason += f", {others} not decided" if others else ""
        status = Status.PASSED if self.passed else Status.INCONCLUSIVE
        return Verdict(check, REQUIREMENT, dtype, status, level, headroom=self.headroom, reason=reason, detail=detail)


def _explored(check_id: str, space: Space, seed: int, session: Session) -> Iterator[Verdict]:
    """The verdicts on what failed, of each requirement the first case made simple, and one on all the rest."""
    explored, known = _Explored(space, []), set[str]()
    for number, point in zip(range(_DRAWN), drawn(space, seed), strict=False):
        if len(explored.rows) == CASES:
            break
        before = len(session.runs)
        case_id = f"{check_id}/{number}"
        case, verdicts = _tried(case_id, point, session)
        if any(v.status is Status.INCONCLUSIVE for v in verdicts) and not bounds_of(case, session.dtype).finite:
            session.let_go(before)  # nobody's answer could be judged: another is drawn
            continue
        explored.take(point, verdicts)
        failed = next((v.requirement for v in verdicts if _breaks(v)), "")
        if failed and failed not in known:
            known.add(failed)
            yield from _shrunk(case_id, point, failed, verdicts, session)
        else:
            session.let_go(before)
    yield explored.verdict(check_id, session.dtype)


def _shrunk(case_id: str, point: Point, failed: str, verdicts: list[Verdict], session: Session) -> Iterator[Verdict]:
    """The failing verdicts on the simplest point that fails the same requirement; on the first one where it does not
    fail again."""
    before = len(session.runs)

    def breaks(other: Point) -> bool:
        _, found = _tried(f"{case_id}/tried", other, session)
        session.let_go(before)
        return any(_breaks(v) and v.requirement == failed for v in found)

    simple = smallest(point, breaks)
    if simple.row != point.row:
        _, found = _tried(f"{case_id}/smallest", simple, session)
        if any(map(_breaks, found)):
            point, verdicts = simple, found
    told = {"space": mark_of(point.space), "row": letters_of(point.space, point.row), "draw": point.line.draw}
    yield from (replace(v, detail={**v.detail, **told}) for v in verdicts if _breaks(v))


def _tried(case_id: str, point: Point, session: Session) -> tuple[Case, list[Verdict]]:
    case = replace(point.case(), id=case_id)
    return case, judged(session, case_id, point.served, case)


def _breaks(verdict: Verdict) -> bool:
    return verdict.status.breaks and verdict.level is not Level.SHOULD
