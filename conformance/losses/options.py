"""Options: the fields of a layer's parameter messages by path, and the prototxt that sets them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Option", "Options", "options_text"]

Option = bool | int | float | str | None
Options = Mapping[str, Option]
"""``message.field`` to a bool, a number, an enum's name or a string in its quotes; None where it is left out."""


def options_text(options: Options) -> str:
    """The messages in the order in which they are first named; one whose fields are all None is left out."""
    messages: dict[str, list[str]] = {}
    for path, value in options.items():
        message, _, field = path.partition(".")
        messages.setdefault(message, []).append("" if value is None else f"{field}: {_spelled(value)}")
    return " ".join(f"{name} {{ {' '.join(fields)} }}" for name, fields in messages.items() if any(fields))


def _spelled(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
