"""The JSON schema of every message, read once; a violation comes out as one line that names the place."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from conformance.contract.dtypes import NAMES

__all__ = ["names", "violation"]

_FOLDER = files("conformance.protocol") / "schemas"


def names() -> tuple[str, ...]:
    """The names of all schemas: ``run``, ``outcome``, ..."""
    return tuple(
        sorted(entry.name.removesuffix(".json") for entry in _FOLDER.iterdir() if entry.name.endswith(".json"))
    )


@cache
def _registry() -> Registry[Any]:
    contents = {name: json.loads((_FOLDER / f"{name}.json").read_text("utf-8")) for name in names()}
    contents["dtype"]["enum"] = list(NAMES)
    return Registry().with_resources((content["$id"], Resource.from_contents(content)) for content in contents.values())


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(_registry().contents(f"lossconf:/{name}"), registry=_registry())


def violation(name: str, message: Any) -> str | None:
    """What is wrong with ``message`` by the schema ``name``, in one line; None where nothing is."""
    error = best_match(_validator(name).iter_errors(message))
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path) or "the message"
    return f"{place}: {_shortened(error.message)}"


def _shortened(text: str, width: int = 200) -> str:
    return text if len(text) <= width else f"{text[: width // 2]} ... {text[-width // 2 :]}"
