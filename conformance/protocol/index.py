"""Index: which cases were exported, in which order and under which names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conformance.contract.case import Case
from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.paths import content_of, put
from conformance.contract.selection import Selection
from conformance.contract.version import VERSION
from conformance.protocol import case_message

__all__ = ["NAME", "Index", "Item", "digest"]

SCHEMA = 1
_BELOW = re.compile(r"(?!\.\.?(?:/|$))[A-Za-z0-9._+-]+(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._+-]+)*")
NAME = "index.json"


@dataclass(frozen=True)
class Item:
    """One exported case: its number, which is the id of its request, its dtype, its file's name below ``cases`` (and
    of its answer's below ``answers``), what it is told apart by, and the version of the protocol that it takes."""

    number: int
    dtype: str
    file: str
    digest: str
    protocol: int = 1


@dataclass(frozen=True)
class Index:
    """What was exported, by which version of the suite, out of which selection; ``fresh`` is the seed that values were
    drawn anew from, 0 where they are as published, ``large`` whether cases of more than a megabyte are among them."""

    selection: Selection
    dtypes: tuple[str, ...]
    items: tuple[Item, ...]
    version: str = VERSION
    fresh: int = 0
    large: bool = False

    def write(self, folder: Path) -> None:
        value = {
            "schema": SCHEMA,
            "suite": {"name": "caffe-loss-conformance", "version": self.version},
            "selection": asdict(self.selection),
            "dtypes": self.dtypes,
            "fresh": self.fresh,
            "large": self.large,
            "cases": [asdict(item) for item in self.items],
        }
        put(folder / NAME, json.dumps(value, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index of an export. Raises `UsageError` where there is none, or it is another version's."""
        path = folder / NAME
        if not path.exists():
            raise UsageError(f"{folder} holds no export: there is no {path}")
        try:
            with decoding():
                value = json_of(content_of(path, "the index"))
                version = value["suite"]["version"]
                if value["schema"] != SCHEMA or version != VERSION:
                    raise UsageError(f"{path} was exported by version {version}, this is {VERSION}: export again")
                return cls(
                    Selection(**{name: _texts(names) for name, names in value["selection"].items()}),
                    _texts(value["dtypes"]),
                    tuple(_item(item) for item in value["cases"]),
                    fresh=int(value.get("fresh", 0)),
                    large=bool(value.get("large", False)),
                )
        except Malformed as error:
            raise UsageError(f"{path} is no index of an export: {one_line(str(error), 160)}") from None


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Malformed("names are a list of texts")
    return tuple(values)


def _item(value: Mapping[str, Any]) -> Item:
    """One exported case. Its file lies below the folder of answers, wherever an index that was handed in says."""
    item = Item(**value)
    if type(item.number) is not int or type(item.protocol) is not int:
        raise Malformed("number and protocol are whole numbers")
    if not all(isinstance(text, str) for text in (item.dtype, item.file, item.digest)):
        raise Malformed("dtype, file and digest are texts")
    if not _BELOW.fullmatch(item.file):
        raise Malformed(f"{item.file!r} is no file below cases")
    return item


def digest(case: Case, dtype: str) -> str:
    """What a case in a dtype is told apart by: everything that an implementation is told of it."""
    message: Mapping[str, Any] = {"dtype": dtype, **case_message(case, dtype)}
    return hashlib.sha256(json.dumps(message, sort_keys=True).encode("ascii")).hexdigest()
