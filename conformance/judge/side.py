"""Sides: which settings of the quirks a case touches, and what the reference does under each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from conformance.contract.case import Case
from conformance.judge.reference import build, run_steps
from refimpl.dialect import QUIRKS, Dialect
from refimpl.errors import NetError

__all__ = ["LARGEST_TOUCH", "Side", "sides_of", "touched_by"]

LARGEST_TOUCH = 3
"""Cases that touch more quirks than this are not published: they would have too many right answers."""


@dataclass(frozen=True)
class Side:
    """One setting of the quirks a case touches: those taken as BVLC Caffe does."""

    taken: frozenset[str]
    touched: frozenset[str]

    @property
    def name(self) -> str:
        """ "documented", "bvlc", or the quirks that are taken."""
        if not self.taken:
            return "documented"
        return "bvlc" if self.taken == self.touched else "+".join(sorted(self.taken))

    def dialect(self, true_derivatives: frozenset[str] = frozenset()) -> Dialect:
        return Dialect(self.name, self.taken, true_derivatives)


def touched_by(case: Case) -> frozenset[str]:
    """The quirks whose situation arises in the case, on either side of any of them."""
    touched: frozenset[str] = frozenset()
    for taken in (frozenset[str](), frozenset(QUIRKS)):
        touched |= _touched(case, taken)
    return touched


def _touched(case: Case, taken: frozenset[str]) -> frozenset[str]:
    dialect = Dialect("probe", taken)
    try:
        net = build(case, dialect=dialect)
        run_steps(net, case)
    except NetError:
        return frozenset(dialect.touched)  # a refusal is an answer; what was touched on the way to it counts
    return net.met.touched


def sides_of(case: Case, asked: str | None) -> Iterator[Side]:
    """The sides to try: the one asked for, or all of them, documented and bvlc first."""
    touched = touched_by(case)
    if asked is not None:
        yield Side(touched if asked == "bvlc" else frozenset(), touched)
        return
    yield Side(frozenset(), touched)
    if touched:
        yield Side(touched, touched)
    if len(touched) <= LARGEST_TOUCH:
        for size in range(1, len(touched)):
            yield from (Side(frozenset(some), touched) for some in combinations(sorted(touched), size))
