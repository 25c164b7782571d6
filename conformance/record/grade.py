"""Grade: how well a cause explains a rejected answer; an ordered scale that every clue is weighed on."""

from __future__ import annotations

from enum import IntEnum

from conformance.record.cause import Cause

__all__ = ["Clue", "Grade"]


class Grade(IntEnum):
    """From what alone names nothing to what leaves nothing to be explained.

    A report holds a grade as a number up to 1, a quarter to each.
    """

    HINT = 1
    """The case holds what it takes to go wrong in this way, and that is all: too little to be named for."""

    PATTERN = 2
    """What is wrong is what this mistake gets wrong: these places, these arrays; of the numbers some are foretold at
    most."""

    PARTLY = 3
    """The numbers are foretold, but so few of them that other mistakes would foretell them as well."""

    EXACT = 4
    """Every number that was got is foretold, or the answer is by itself what the cause says."""

    @property
    def weight(self) -> float:
        """As a report holds it."""
        return self / Grade.EXACT

    @classmethod
    def of(cls, weight: float) -> Grade:
        """The nearest to a report's number: older ones hold others."""
        return cls(min(max(round(Grade.EXACT * min(weight, 1.0)), Grade.HINT), Grade.EXACT))


Clue = tuple[Cause, Grade]
"""A cause, and how well it explains what one looks at."""
