"""Found: what one step of a smoke test came to."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Found", "State"]


class State(str, enum.Enum):
    """How a step ended: right, something to fix, or not tried."""

    RIGHT = "ok"
    FIX = "fix"
    SKIPPED = "skip"


@dataclass(frozen=True)
class Found:
    """A step's name and state, what was seen, what to do about it, and the implementation's last lines."""

    step: str
    state: State
    said: str
    remedy: str = ""
    detail: str = ""
