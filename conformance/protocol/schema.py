"""The JSON schema of every message, read once; a violation comes out as one line that names the place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

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
    for content in contents.values():
        del content["$schema"]  # what names its dialect is held against that dialect's own keywords behind a $ref
    return Registry().with_resources(
        (content["$id"], DRAFT202012.create_resource(content)) for content in contents.values()
    )


@cache
def _validator(name: str) -> Any:
    return _Validator(_registry().contents(f"lossconf:/{name}"), registry=_registry())


def _items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """The keyword ``items``: millions of plain numbers, where numbers may stand, are looked at as one."""
    if isinstance(instance, list) and _of_numbers(items) and set(map(type, instance)) <= {int, float}:
        return
    yield from Draft202012Validator.VALIDATORS["items"](validator, items, instance, schema)


def _of_numbers(items: Any) -> bool:
    return items in ({"$ref": "lossconf:/number"}, {"type": ["number", "string"]})


_Validator: Any = extend(Draft202012Validator, {"items": _items})  # type: ignore[no-untyped-call]


def violation(name: str, message: Any) -> str | None:
    """What is wrong with ``message`` by the schema ``name``, in one line; None where nothing is."""
    error = best_match(_validator(name).iter_errors(message))
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path) or "the message"
    return f"{place}: {_shortened(error.message)}"


def _shortened(text: str, width: int = 200) -> str:
    return text if len(text) <= width else f"{text[: width // 2]} ... {text[-width // 2 :]}"
