"""Deal: the items of an order that nobody has been given yet, handed out in shares that take about the same time."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from conformance.contract.errors import Stopped
from conformance.contract.exit_codes import ExitCode

__all__ = ["Deal"]

_STARTS = 10
"""A share takes as many times longer than its process takes to start, so that starting is a tenth of the work."""

_MIXED = 64
"""Checks that stand beside each other in the suite, and take similar times, are handed out as far apart."""

_LOSSES = 10
"""Times that an item alone may take its workers with it."""

_START, _ITEM = 2.0, 0.1  # seconds, before any were measured


class Deal:
    """Shares get shorter towards the end, so that nobody waits long for the last one, and where workers are lost. A
    check is in one of them in all types: its cases are read once."""

    def __init__(self, items: Sequence[str]) -> None:
        checks: dict[str, list[str]] = {}
        for name in items:
            checks.setdefault(name.rpartition("[")[0], []).append(name)
        whole = list(checks.values())
        self._left = [check for first in range(_MIXED) for check in whole[first::_MIXED]]
        self._left.reverse()  # they are taken from the end
        self._again: list[tuple[str, ...]] = []
        self._start = _START
        self._spent: dict[str, tuple[float, int]] = {}
        self._longest = math.inf
        self._losses: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there is anything left to hand out."""
        return bool(self._again or self._left)

    def next(self, hands: int) -> tuple[str, ...]:
        """The names of the next share, at least one, where ``hands`` are at work."""
        if self._again:
            return self._again.pop()
        rest = sum(map(self._expected, self._left)) / (2 * hands)
        aim = min(max(rest, self._start), _STARTS * self._start, self._longest)
        if not self._spent:
            aim = min(aim, self._start)
        share: list[str] = []
        while self._left and (not share or self._expected(share) < aim):
            share += self._left.pop()
        return tuple(share)

    def took(self, started: float, seconds: Mapping[str, float]) -> None:
        """A share has ended: its process was ready after ``started`` seconds, and its items took so many each."""
        self._start = started or self._start
        self._longest *= 1.25
        for name, spent in seconds.items():
            for kind in (_kind(name), ""):
                total, count = self._spent.get(kind, (0.0, 0))
                self._spent[kind] = (total + spent, count + 1)

    def back(self, names: Iterable[str]) -> None:
        """A share was not run, by nobody's fault: hand it out again."""
        if again := tuple(names):
            self._again.append(again)

    def lost(self, names: Sequence[str]) -> None:
        """A share has outlived several workers. It is handed out again in halves, so that less is lost the next time;
        an item alone, again and again. Raises `Stopped` where that has happened too often."""
        half = (len(names) + 1) // 2
        self.back(names[:half])
        self.back(names[half:])
        self._longest = min(self._longest, self._expected(names) / 2)
        if len(names) == 1:
            self._losses.update(names)
            if self._losses[names[0]] >= _LOSSES:
                told = f"every worker that ran {names[0]} was lost, the machine's memory may not do: it has no verdict"
                raise Stopped(ExitCode.HARNESS_BROKEN, told)

    def _expected(self, names: Iterable[str]) -> float:
        return sum(map(self._guess, names))

    def _guess(self, name: str) -> float:
        """The seconds that an item will take: the mean of its kind's, or of all, as far as any are known."""
        for kind in (_kind(name), ""):
            if kind in self._spent:
                total, count = self._spent[kind]
                return total / count
        return _ITEM


def _kind(name: str) -> str:
    """What an item's time is like that of: the same family or layer, in the same type."""
    return re.sub(r"/[^[]*", "", name, count=1)
