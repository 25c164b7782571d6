"""Console: rich's, on which nothing that somebody else wrote reaches the terminal as more than text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from conformance.contract.errors import printable

__all__ = ["PlainConsole"]

_SIZES = ("COLUMNS", "LINES")


class PlainConsole(Console):
    """Styles are rich's own; in the text between them, what does not print is a space."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr, _environ={k: v for k, v in os.environ.items() if k not in _SIZES or _is_size(v)}
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def _is_size(text: str) -> bool:
    """Whether a terminal can be so many columns wide, or lines high."""
    return re.fullmatch("[1-9][0-9]{0,3}", text) is not None
