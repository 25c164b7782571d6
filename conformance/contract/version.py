"""The versions of the program and of the suite: what reports, locks and the command line call themselves."""

from __future__ import annotations

__all__ = ["SUITE", "VERSION", "is_news"]

VERSION = "0.1.0"
"""The program's."""

SUITE = "2"
"""The suite's: it grows by one where requirements are added, and every requirement says since which one it holds."""


def is_news(since: str, pinned: str) -> bool:
    """Whether what holds since suite version ``since`` is newer than a ``pinned`` one."""
    return int(since) > int(pinned)
