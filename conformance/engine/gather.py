"""Gather: the cases that checks would run, found by running the checks on somebody who only listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT, TypeClaim
from conformance.contract.implementation import Description, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.selection import Planned
from conformance.contract.session import Session
from conformance.engine.execution import execute

__all__ = ["gather"]

_UNFILED = ("determinism", "properties", "formula_free")
"""Families that run a case again to compare, or choose the next one by the answer to the last."""

_IN_TURN = ("loss_weight", "passes")
"""Families with checks that run several cases one after the other and stop where one is not answered."""


class _Listener:
    """Takes every case and answers none; or answers by the reference, so that the next case is asked too."""

    def __init__(self) -> None:
        self.reference = ReferenceImplementation()
        self.answers = False

    def describe(self) -> Description:
        return Description("listener", dtypes=DEFAULT, any_types=True)

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        if self.answers:
            return self.reference.run(case, dtype)
        raise Unsupported("it only listens")

    def close(self) -> None:
        """Nothing is held."""


def gather(planned: Iterable[Planned], fresh: int = 0) -> Iterator[tuple[str, Case]]:
    """The dtype and the case of everything that the items run, but for what answers in files cannot show; with values
    from the seed ``fresh``, 0: as published.

    Left out are checks that run a case twice to compare, that search, and that difference a loss: what they ask next
    depends on what they are told.
    """
    listener = _Listener()
    for item in planned:
        differenced = item.check.differences and TypeClaim.named(item.dtype).differenceable
        if item.check.family in _UNFILED or differenced:
            continue
        listener.answers = item.check.family in _IN_TURN
        session = Session(listener, listener.describe(), item.dtype, fresh=fresh)
        execute(item.check, session)
        yield from ((item.dtype, run.case) for run in session.runs)
