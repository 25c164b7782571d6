"""The versions of the program and of the suite: what reports, locks and the command line call themselves."""

from __future__ import annotations

import re

__all__ = ["SUITE", "VERSION", "is_news", "is_suite"]

VERSION = "0.1.0"
"""The program's."""

SUITE = "2"
"""The suite's: it grows by one where requirements are added, and every requirement says since which one it holds."""


_SUITE = re.compile("[0-9]{1,6}")


def is_suite(text: str) -> bool:
    """Whether a text is the number of a version of the suite."""
    return _SUITE.fullmatch(text) is not None


def is_news(since: str, pinned: str) -> bool:
    """Whether what holds since suite version ``since`` is newer than a ``pinned`` one."""
    return int(since) > int(pinned)
