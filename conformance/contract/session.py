"""Session: one implementation under test, in one claim of types, and the clock on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from conformance.contract.case import Case
from conformance.contract.implementation import Declined, Description, Implementation
from conformance.contract.limits import Limits
from conformance.contract.outcome import Outcome, Refusal

__all__ = ["Run", "Session"]


@dataclass
class Run:
    """A case and what came of it; ``answer`` is None where the implementation failed to answer.

    ``judgement`` is what the judge made of the answer, once somebody has asked.
    """

    case: Case
    answer: Outcome | Refusal | None
    judgement: object = None


@dataclass
class Session:
    """``dialect`` is "documented" or "bvlc" where one is asked for, None where either side of a quirk will do.
    ``fresh`` is the seed that values of fixed cases are drawn anew from, 0 where they are to be as they are.

    ``declines`` are limits that were stated for it beside its own. ``runs`` holds every case run so far with its
    answer, but for those that were let go, ``cases`` how many there were and ``seconds`` the time they took;
    ``counted`` is told of every one.
    """

    implementation: Implementation
    description: Description
    dtype: str
    dialect: str | None = None
    declines: tuple[str, ...] = ()
    fresh: int = 0
    counted: Callable[[int], object] = field(default=lambda cases: None)
    seconds: float = field(default=0.0, init=False)
    cases: int = field(default=0, init=False)
    runs: list[Run] = field(default_factory=list, init=False)

    @property
    def limits(self) -> Limits:
        """What it does not claim."""
        return Limits.of(self.description, self.declines)

    def run_of(self, answer: Outcome | Refusal) -> Run:
        """The run that gave this very answer. Raises `StopIteration` where none did."""
        return next(run for run in reversed(self.runs) if run.answer is answer)

    def run(self, case: Case) -> Outcome | Refusal:
        """Run a case and add the time it took. Raises what `Implementation.run` raises, and `Declined` for a dtype
        or a case outside its limits, of which it is not asked."""
        if not self.description.takes(self.dtype):
            raise Declined(f"only {', '.join(self.description.dtypes)}")
        if limit := self.limits.of_case(case):
            raise Declined(limit)
        started = time.perf_counter()
        answer: Outcome | Refusal | None = None
        try:
            answer = self.implementation.run(case, self.dtype)
            return answer
        finally:
            self.seconds += time.perf_counter() - started
            self.runs.append(Run(case, answer))
            self.cases += 1
            self.counted(self.cases)

    def let_go(self, since: int) -> None:
        """Forget the runs from the one at ``since`` on, but for the first of all."""
        del self.runs[max(since, 1) :]
