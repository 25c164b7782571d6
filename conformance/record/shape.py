"""Shape: whether a line of a report is what the schema says.

Verdicts and ends come in tens of thousands, too many to hold each against the schema: their fields are looked at here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from conformance.contract.dtypes import CLAIM, TypeClaim
from conformance.contract.version import is_suite

__all__ = ["refuse_misshapen", "refuse_misshapen_end", "refuse_misshapen_verdict", "schema"]

_AGES = 1e12
"""Seconds that nothing takes."""

_DIGEST = re.compile("[0-9A-Za-z]{1,64}")
_NEEDED = ("check", "family", "stem", "requirement")
_OPTIONAL = ("reason", "side", "layer", "limit", "since")


def refuse_misshapen(line: Mapping[str, Any]) -> None:
    """Raises `ValueError` that names the field of a line which is not as ``schema.json`` has it for its kind."""
    error = best_match(_validator(line["kind"]).iter_errors(line))
    if error is not None:
        place = ".".join(map(str, error.absolute_path))
        raise ValueError(f"{place}: {error.message}" if place else error.message)


def refuse_misshapen_verdict(line: Mapping[str, Any]) -> None:
    """Raises `ValueError` or `KeyError` where a field that every format shows is of another type than it should be."""
    for name in (*_NEEDED, *(name for name in _OPTIONAL if line.get(name) is not None)):
        _text(line, name)
    TypeClaim.named(line["dtype"])
    for name in ("headroom", "best"):
        ratio = line.get(name)
        if ratio is not None and ratio != "Infinity" and not (_is_number(ratio) and ratio >= 0):
            raise ValueError(f"{name} is {ratio!r:.40}")
    if not is_suite(str(line.get("since", "1"))):
        raise ValueError(f"since is {line['since']!r:.40}")
    if not isinstance(line.get("detail", {}), Mapping):
        raise ValueError(f"detail is {line['detail']!r}")
    _duration(line)


def refuse_misshapen_end(line: Mapping[str, Any]) -> None:
    """Raises `ValueError` or `KeyError` where an item's end does not hold the item and the digests of its cases."""
    _text(line, "item")
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in line["cases"].values()):
        raise ValueError("a case has a digest that is none")
    verdicts = line.get("verdicts", 0)
    if type(verdicts) is not int or verdicts < 0:
        raise ValueError(f"verdicts is {verdicts!r:.40} and should be a count")
    _duration(line)


def _text(line: Mapping[str, Any], name: str) -> None:
    if not isinstance(line[name], str):
        raise ValueError(f"{name} is {line[name]!r} and should be a text")


def _duration(line: Mapping[str, Any]) -> None:
    seconds = line.get("seconds", 0)
    if not (_is_number(seconds) and 0 <= seconds < _AGES):
        raise ValueError(f"seconds is {seconds!r:.40}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a report's lines."""
    content: dict[str, Any] = json.loads((files("conformance.record") / "schema.json").read_text("utf-8"))
    content["$defs"]["dtype"]["pattern"] = f"^{CLAIM}$"
    return content


@cache
def _validator(kind: str) -> Any:
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema()["$defs"]})
