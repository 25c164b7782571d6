"""The version of the suite: what reports and the command line call themselves."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
