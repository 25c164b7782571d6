"""Verdict: what one check says of one requirement."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.contract.item import item_name

__all__ = ["Element", "Level", "Status", "Verdict"]


class Status(str, enum.Enum):
    """How a check ended. ``inconclusive`` is never a pass: the check had no power here."""

    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    PROTOCOL_ERROR = "protocol_error"
    UNSUPPORTED = "unsupported"
    NOT_APPLICABLE = "not_applicable"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"

    @property
    def breaks(self) -> bool:
        """Whether the implementation is at fault."""
        return self in (Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.PROTOCOL_ERROR)

    @property
    def decides(self) -> bool:
        """Whether it says something of the implementation: passed or broken."""
        return self is Status.PASSED or self.breaks


class Level(str, enum.Enum):
    """``must`` makes a run non-conforming; ``should`` is reported and never does; a ``quirk`` fails only where
    neither side is taken."""

    MUST = "must"
    SHOULD = "should"
    QUIRK = "quirk"


@dataclass(frozen=True)
class Element:
    """The element that decided: its blob, coordinates, what was got, what was wanted and how far apart they may be."""

    blob: str
    index: tuple[int, ...]
    got: float
    want: float
    bound: float


@dataclass(frozen=True)
class Verdict:
    """One requirement, judged on one case in one dtype.

    ``side`` is the dialect or the set of quirks that the outcome took, where the case touches any. ``headroom`` is
    the smallest bound / error (None where nothing was measured, inf where nothing was off). ``seconds`` is the
    implementation's time. ``best`` is the largest error of its arrays, root mean square over that of the exact result
    rounded once to the type stored; None in Caffe's own types. ``limit`` is the stated limit that the case lies outside
    of: what lies there is not claimed.
    """

    check: str
    requirement: str
    dtype: str
    status: Status
    level: Level = Level.MUST
    side: str | None = None
    headroom: float | None = None
    reason: str = ""
    layer: str | None = None
    element: Element | None = None
    seconds: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    limit: str = ""
    best: float | None = None

    @property
    def item(self) -> str:
        """What it was judged in: CHECK[TYPE]."""
        return item_name(self.check, self.dtype)
