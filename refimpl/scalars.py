"""Single values of the text format: from what is written to a value of a proto type, and back."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from difflib import get_close_matches

from refimpl.errors import PrototxtError
from refimpl.quoting import quote
from refimpl.schema import FieldType
from refimpl.textformat import Scalar

__all__ = ["Value", "read_scalar", "write_scalar"]

Value = bool | int | float | str

_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1)}
_BOOLEANS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}


def read_scalar(name: str, scalar: Scalar, field: FieldType) -> Value:
    """The value of field `name`; raises `PrototxtError` where protobuf would refuse it.

    Floats are rounded to float32, the type of the proto's field: beyond its range they are infinite, below it zero.
    """
    return _READERS[field.kind](name, scalar, field)


def _integer(name: str, scalar: Scalar, field: FieldType) -> int:
    value = _whole(scalar)
    if value is None:
        raise _refusal(f"{name} takes an integer, not {scalar}", scalar)
    low, high = _RANGES[field.kind]
    if not low <= value <= high or (field.kind == "uint32" and scalar.text.startswith("-")):
        raise _refusal(f"{scalar} is out of range for {name}", scalar, f"{field.kind} holds {low} to {high}")
    return value


def _whole(scalar: Scalar) -> int | None:
    """The integer that a number token spells in decimal, octal or hexadecimal; None for anything else."""
    if scalar.kind != "number":
        return None
    digits = scalar.text.lstrip("-").lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    try:
        value = int(digits, base)
    except ValueError:
        return None
    return -value if scalar.text.startswith("-") else value


def _floating(name: str, scalar: Scalar, field: FieldType) -> float:
    """Protobuf reads a float as a double first and then rounds it; octal and hexadecimal it refuses."""
    text = scalar.text.lower()
    if scalar.kind == "number":
        if re.match(r"-?0(x|[0-9]+$)", text):
            raise _refusal(f"{name} takes a decimal number, not {scalar}", scalar)
        text = text.removesuffix("f")
    elif scalar.kind == "string" or text.lstrip("-") not in ("inf", "infinity", "nan"):
        raise _refusal(f"{name} takes a number, not {scalar}", scalar)
    return ctypes.c_float(float(text)).value


def _boolean(name: str, scalar: Scalar, field: FieldType) -> bool:
    if scalar.kind == "word" and scalar.text in _BOOLEANS:
        return _BOOLEANS[scalar.text]
    if scalar.kind == "number" and not scalar.text.startswith("-") and (value := _whole(scalar)) in (0, 1):
        return value == 1
    raise _refusal(f"{name} takes true or false, not {scalar}", scalar)


def _string(name: str, scalar: Scalar, field: FieldType) -> str:
    if scalar.kind != "string":
        old = name == "type" and scalar.text.isupper()
        hint = 'for example "InnerProduct"; upper-case types belong to layers { }' if old else f'write "{scalar}"'
        raise _refusal(f"{name} takes a string, not {scalar}", scalar, hint)
    return scalar.text


def _enum(name: str, scalar: Scalar, field: FieldType) -> str:
    if scalar.kind == "word" and scalar.text in field.numbers:
        return scalar.text
    for word, number in field.numbers.items():
        if _whole(scalar) == number:
            return word
    hint = f"it is one of {', '.join(field.numbers)}" if len(field.numbers) < 10 else ""
    if scalar.kind == "string" and scalar.text in field.numbers:
        hint = f"write {scalar.text} without quotes"
    elif scalar.kind == "string" and name == "type":
        hint = f"layers {{ }} is the old format: write layer {{ type: {scalar} }}"
    elif near := get_close_matches(scalar.text.upper(), field.numbers, 1):
        hint = f"did you mean {near[0]}?"
    raise _refusal(f"{scalar} is not a value of {name}", scalar, hint)


def _refusal(message: str, scalar: Scalar, hint: str = "") -> PrototxtError:
    return PrototxtError(message, scalar.line, scalar.column, hint)


_READERS: dict[str, Callable[[str, Scalar, FieldType], Value]] = {
    "int32": _integer,
    "int64": _integer,
    "uint32": _integer,
    "float": _floating,
    "bool": _boolean,
    "string": _string,
    "enum": _enum,
}


def write_scalar(value: Value, field: FieldType) -> str:
    """The text that reads back as this value."""
    if field.kind == "bool":
        return "true" if value else "false"
    if field.kind == "string":
        return quote(str(value))
    return _shortest(float(value)) if field.kind == "float" else str(value)


def _shortest(value: float) -> str:
    """The shortest decimal that reads back as this float32."""
    return next((text for text in (f"{value:.{n}g}" for n in range(6, 9)) if _single(text) == value), f"{value:.9g}")


def _single(text: str) -> float:
    return ctypes.c_float(float(text)).value
