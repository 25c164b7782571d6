"""Right answers: what the reference answers to every check, so that a mutant is judged only where it differs.

A check is a function of the answers it gets. Where a mutant gives the reference's, bit for bit, the check ends as it
ends for the reference; to judge it once more would cost most of a kill matrix's time.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.implementation import Implementation, ImplementationError
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.engine.execution import execute

__all__ = ["RightAnswers", "right_answers_in"]

Answered = list[tuple[Case, bytes]]


class RightAnswers:
    """The reference in one dialect, and its answers to the checks asked about so far."""

    def __init__(self, dialect: str) -> None:
        self._reference = ReferenceImplementation(dialect)
        self._known: dict[tuple[str, str], Answered] = {}

    def matches(self, check: Check, dtype: str, implementation: Implementation) -> bool:
        """Whether an implementation answers all cases of a check as the reference does."""
        try:
            return all(_digest(implementation.run(case, dtype)) == known for case, known in self._answers(check, dtype))
        except ImplementationError:
            return False

    def _answers(self, check: Check, dtype: str) -> Answered:
        if (check.id, dtype) not in self._known:
            recording = _Recording(self._reference)
            execute(check, Session(recording, self._reference.describe(), dtype))
            self._known[check.id, dtype] = recording.answered
        return self._known[check.id, dtype]


@cache
def right_answers_in(dialect: str) -> RightAnswers:
    """Those in a dialect, the same for everybody in this process: what is known of a check is not asked again."""
    return RightAnswers(dialect)


class _Recording(ReferenceImplementation):
    """The reference, and the digests of what it answered."""

    def __init__(self, reference: ReferenceImplementation) -> None:
        super().__init__(reference.dialect)
        self.answered: Answered = []

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        self.answered.append((case, _digest(answer)))
        return answer


def _digest(answer: Outcome | Refusal) -> bytes:
    """Equal for answers that are equal in every bit and word."""
    digest = blake2b(digest_size=16)

    def take(value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest.update(repr((value.dtype.str, value.shape)).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, dict):
            take([part for item in value.items() for part in item])
        elif isinstance(value, (list, tuple)):
            digest.update(b"(%d" % len(value))
            for part in value:
                take(part)
        else:
            digest.update(repr(value).encode() + b"\0")

    take(list(vars(answer).values()))
    return digest.digest()
