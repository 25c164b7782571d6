"""Quiet: whether other processes leave the cores alone, and waiting until they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["idle_share", "wait_until_quiet"]

GLANCE = 0.25
"""Seconds over which it is looked at how busy the cores are."""

QUIET = 0.95
"""Share of the cores' time that has to be idle."""

PAUSE = 2.0
"""Seconds between glances."""

_STAT = Path("/proc/stat")


def idle_share(before: str, after: str) -> float | None:
    """The share of time that all cores were idle between two readings of ``/proc/stat``; None for what is none."""
    try:
        first, second = ([int(word) for word in text.splitlines()[0].split()[1:9]] for text in (before, after))
    except (IndexError, ValueError):
        return None
    spent = [b - a for a, b in zip(first, second, strict=False)]
    return (spent[3] + spent[4]) / sum(spent) if len(spent) > 4 and sum(spent) > 0 else None


def _glance() -> float | None:
    try:
        before = _STAT.read_text()
        time.sleep(GLANCE)
        return idle_share(before, _STAT.read_text())
    except OSError:
        return None


def wait_until_quiet(deadline: float, glance: Callable[[], float | None] = _glance, pause: float = PAUSE) -> bool:
    """Wait until the cores are idle, or until ``deadline`` (of ``time.monotonic``); whether they are, as far as is
    known."""
    while True:
        idle = glance()
        if idle is None or idle >= QUIET:
            return True
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
