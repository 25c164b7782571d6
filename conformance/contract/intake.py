"""Intake: what somebody else wrote, decoded within bounds: answers, reports, indexes, baselines, locks, results.

Whatever is wrong with it comes out as `Malformed`, one line that says what: nothing behind this boundary meets a
document that is too deep, a number that no type holds, or an exception that a decoder or a missing field raised. Time
is bounded by size, and where somebody waits for an answer by his deadline (`conformance.contract.alarm`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from conformance.contract.errors import one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DEEPEST", "MOST_DIGITS", "Malformed", "decoding", "excerpt", "json_of", "refuse_deep", "toml_of"]

DEEPEST = 64
"""Lists and objects that may lie in each other. What the suite writes itself is not a quarter as deep."""

MOST_DIGITS = 300
"""Digits of an integer: whatever has no more is a float64, too."""

_SHOWN = 80


class Malformed(ValueError):
    """What was taken in is not what it should be; ``str()`` is one line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


@contextmanager
def decoding() -> Iterator[None]:
    """Around what makes values of a document: whatever goes wrong comes out as `Malformed`."""
    try:
        yield
    except Malformed:
        raise
    except KeyError as error:
        raise Malformed(f"the field {error} is missing") from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    except MemoryError:
        raise Malformed("it takes more memory than there is") from None
    except OverflowError as error:
        raise Malformed(f"a number is too large: {error}") from None
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise Malformed(str(error) or type(error).__name__) from None


def json_of(content: bytes | str) -> Any:
    """The value of a JSON document. Raises `Malformed`.

    JSON alone is taken: NaN and Infinity are written as strings. "-0" is the zero that has a sign.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start}: {excerpt(content)}") from None
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"not JSON ({error.msg} at {place}): {excerpt(content)}") from None
    except RecursionError:
        raise _too_deep() from None
    except MemoryError:
        raise Malformed("it takes more memory than there is") from None
    refuse_deep(value)
    return value


def toml_of(content: bytes) -> dict[str, Any]:
    """The tables of a TOML document. Raises `Malformed`."""
    try:
        document: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # an integer of too many digits among them, which is no error of TOML's own
        raise Malformed(str(error)) from None
    refuse_deep(document)
    return document


def refuse_deep(value: Any) -> None:
    """Raises `Malformed` where lists and mappings lie in each other beyond `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list, tuple))
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list, tuple))
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Malformed:
    return Malformed(f"nested more than {DEEPEST} deep")


def _integer(text: str) -> float:
    """An integer, or the zero that has a sign: "-0" is how C prints it."""
    if len(text) > MOST_DIGITS:
        raise Malformed(f"an integer of {len(text)} digits is too large: {MOST_DIGITS} are read")
    return -0.0 if text == "-0" else int(text)


def _no_constant(text: str) -> NoReturn:
    raise Malformed(f'{text} is not JSON: write the string "{text}"')


def excerpt(content: bytes | str) -> str:
    """How a document begins, and how much more there is of it."""
    start = content[:_SHOWN]
    text = start if isinstance(start, str) else start.decode("utf-8", "backslashreplace")
    unit = "bytes" if isinstance(content, bytes) else "characters"
    more = len(content) - _SHOWN
    return repr(text.rstrip()) + (f" and {more} {unit} more" if more > 0 else "")
