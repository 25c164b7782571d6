"""Process: what this process's threads, libraries and memory do while it is timed.

On a machine that does other things too, most of a long time's noise is waiting for a core that another process had.
The kernel counts that, so a disturbed sample can be told from a slow one, and taken again.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["TOLERATED", "openmp_runtimes", "peak_beyond", "spins", "waited"]

TOLERATED = 0.02
"""Seconds waited per second of a sample, over all threads, up to which it counts as undisturbed."""

_SELF = Path("/proc/self")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)
_OPENMP = re.compile(r"lib(?:gomp|iomp5|omp)[^/]*\.(?:so|dylib)[^/]*")


def waited() -> float | None:
    """Seconds that threads of this process have been ready to run and did not; None where Linux does not tell.

    From the second number of ``/proc/PID/task/TID/schedstat``; a thread that has ended no longer counts.
    """
    total = 0
    try:
        for thread in os.listdir(_SELF / "task"):
            try:
                with open(_SELF / "task" / thread / "schedstat", "rb") as file:
                    total += int(file.read().split()[1])
            except ProcessLookupError:
                continue
    except (OSError, IndexError, ValueError):
        return None
    return total * 1e-9


def openmp_runtimes(loaded: Iterable[str] | None = None) -> list[str]:
    """File names of the OpenMP runtimes among the files that this process has mapped (or those given), sorted."""
    if loaded is None:
        mapped = getattr(psutil.Process(), "memory_maps", list)
        loaded = (found.path for found in mapped())
    return sorted({name for path in loaded if _OPENMP.fullmatch(name := os.path.basename(path))})


def spins(runtimes: Sequence[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether threads of a runtime may keep a core busy for some milliseconds after their work is done."""
    return bool(runtimes) and environment.get("OMP_WAIT_POLICY", "").lower() != "passive"


def peak_beyond(call: Callable[[], object]) -> int | None:
    """Bytes by which the largest resident size during a call exceeds that before it; None where Linux does not tell.

    Call it once before, so that what is made on first use does not count. Memory that earlier calls gave back to the
    allocator is returned to the system first.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (_SELF / "clear_refs").write_text(_RESET_PEAK)
    except (AttributeError, OSError, TypeError):
        return None
    before = psutil.Process().memory_info().rss
    call()
    peak = re.search(r"^VmHWM:\s+(\d+) kB", (_SELF / "status").read_text(), re.MULTILINE)
    return None if peak is None else max(int(peak[1]) * 1024 - before, 0)
