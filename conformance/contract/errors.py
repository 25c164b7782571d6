"""What a person got wrong on the command line or in a file: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["NotWhole", "Stopped", "UsageError", "one_line", "printable", "unknown"]


class UsageError(Exception):
    """A mistake of the caller's; ``str()`` is one line, and commands end with exit code 2."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class NotWhole(UsageError):
    """What was handed in lacks a part of what it says it holds: it shows nothing, and commands end with exit code 5."""


class Stopped(Exception):
    """A run that could not go on: the exit code it ends with, one line, and the last lines written before."""

    def __init__(self, code: int, message: str, detail: str = "") -> None:
        super().__init__(code, message, detail)
        self.code, self.message, self.detail = code, message, detail


def one_line(text: str, width: int = 400) -> str:
    """``text`` on one line without control characters, its middle left out where it is longer than ``width``."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width // 2]} ... {flat[-width // 2 :]}"


def printable(text: str) -> str:
    """``text`` as a terminal may show it: every character that does not print, but for ends of lines and tabs, is a
    space."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def unknown(what: str, name: str, known: Iterable[str], listing: str = "") -> UsageError:
    """The error for a name that does not exist: the nearest known ones, or where to find them all."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, 3, 0.6)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif listing:
        hint = f"`{listing}` lists them"
    else:
        hint = f"known: {', '.join(names)}" if names else "there is none"
    return UsageError(f"no {what} named {name!r}; {hint}")
