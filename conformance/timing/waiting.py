"""Waiting: how long this process's threads have stood in line for a core that another process had.

On a machine that does other things too, most of a long time's noise is that. The kernel counts it, so a disturbed
sample can be told from a slow one, and taken again.
"""

from __future__ import annotations

import os

__all__ = ["TOLERATED", "waited"]

TOLERATED = 0.02
"""Seconds waited per second of a sample, over all threads, up to which it counts as undisturbed."""

_TASKS = "/proc/self/task"


def waited() -> float | None:
    """Seconds that threads of this process have been ready to run and did not; None where Linux does not tell.

    From the second number of ``/proc/PID/task/TID/schedstat``; a thread that has ended no longer counts.
    """
    total = 0
    try:
        for thread in os.listdir(_TASKS):
            try:
                with open(f"{_TASKS}/{thread}/schedstat", "rb") as file:
                    total += int(file.read().split()[1])
            except ProcessLookupError:
                continue
    except (OSError, IndexError, ValueError):
        return None
    return total * 1e-9
