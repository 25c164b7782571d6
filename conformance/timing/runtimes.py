"""Runtimes: the OpenMP libraries that a process has loaded, and whether their threads wait by spinning."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["openmp_runtimes", "spins"]

_LIBRARY = re.compile(r"/(lib(?:gomp|iomp5|omp)[^/\s]*\.(?:so|dylib)[^/\s]*)$", re.MULTILINE)


def openmp_runtimes(maps: str | None = None) -> list[str]:
    """File names of the OpenMP runtimes in this process (or in the text of its ``/proc/PID/maps``), sorted."""
    if maps is None:
        try:
            maps = Path("/proc/self/maps").read_text()
        except OSError:
            return []
    return sorted(set(_LIBRARY.findall(maps)))


def spins(runtimes: Sequence[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether threads of a runtime may keep a core busy for some milliseconds after their work is done."""
    return bool(runtimes) and environment.get("OMP_WAIT_POLICY", "").lower() != "passive"
