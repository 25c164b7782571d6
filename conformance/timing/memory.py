"""Memory: how much more of it a call takes while it runs."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["available_memory", "peak_beyond"]

SELF = Path("/proc/self")
RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def peak_beyond(call: Callable[[], object]) -> int | None:
    """Bytes by which the largest resident size during a call exceeds that before it; None where Linux does not tell.

    Call it once before, so that what is made on first use does not count. Memory that earlier calls gave back to the
    allocator is returned to the system first.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    trim(0)
    try:
        (SELF / "clear_refs").write_text(RESET_PEAK)
        before = _kilobytes("VmRSS")
        call()
        peak = _kilobytes("VmHWM")
    except OSError:
        return None
    return None if before is None or peak is None else max(peak - before, 0) * 1024


def _kilobytes(field: str, path: Path = SELF / "status") -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    return None if found is None else int(found[1])


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where Linux does not tell."""
    try:
        found = _kilobytes("MemAvailable", Path("/proc/meminfo"))
    except OSError:
        return None
    return None if found is None else found * 1024
