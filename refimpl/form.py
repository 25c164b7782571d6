"""Form: what one fork means by a layer type, where forks mean several things by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Form"]


@dataclass(frozen=True)
class Form:
    """One meaning of a layer type; ``switches`` are the constants of the formula that tell it from the others."""

    name: str
    citation: str = ""
    switches: Mapping[str, Any] = field(default_factory=dict, hash=False)
