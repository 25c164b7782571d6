"""Printable: an implementation's text as XML, Markdown and pages may hold it: no control character, no markup."""

from __future__ import annotations

import math
import re

__all__ = ["LONGEST", "headroom_told", "markdown", "printable"]

LONGEST = 4000
"""Characters of one text that a page holds."""

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~&@]|:(?=//)|(?<=www)\.)")


def printable(text: object, width: int = LONGEST) -> str:
    """``text`` with every character that does not print, but for the end of a line, written as its code point.

    What is longer than ``width`` loses its middle.
    """
    whole = str(text)
    if len(whole) > width:
        whole = f"{whole[: width // 2]} ... {whole[-width // 2 :]}"
    if whole.isprintable():
        return whole
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{{{ord(c):x}}}" for c in whole)


def headroom_told(value: float) -> str:
    """A headroom as every view writes it: three digits, or "exact" where nothing was off."""
    return "exact" if math.isinf(value) else f"{value:.3g}"


def markdown(text: object, width: int = 300) -> str:
    """``text`` on one line, nothing in it taken for markup, a link, a mention or HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(printable(text, width).split()))
