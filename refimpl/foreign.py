"""Foreign: what a fork added to Caffe's format, in a net that is read leniently."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Foreign"]


@dataclass(frozen=True)
class Foreign:
    """``kind`` is field, value, type or message; ``name`` says which, as ``field of message``; ``line`` counts from
    1."""

    kind: str
    name: str
    line: int
