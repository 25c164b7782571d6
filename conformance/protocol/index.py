"""Index: which cases were exported, in which order and under which names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.selection import Selection
from conformance.contract.version import VERSION
from conformance.protocol import case_message

__all__ = ["NAME", "Index", "Item", "digest"]

SCHEMA = 1
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
    drawn anew from, 0 where they are as published."""

    selection: Selection
    dtypes: tuple[str, ...]
    items: tuple[Item, ...]
    version: str = VERSION
    fresh: int = 0

    def write(self, folder: Path) -> None:
        value = {
            "schema": SCHEMA,
            "suite": {"name": "caffe-loss-conformance", "version": self.version},
            "selection": asdict(self.selection),
            "dtypes": self.dtypes,
            "fresh": self.fresh,
            "cases": [asdict(item) for item in self.items],
        }
        (folder / NAME).write_text(json.dumps(value, indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index of an export. Raises `UsageError` where there is none, or it is another version's."""
        path = folder / NAME
        try:
            value = json.loads(path.read_text("utf-8"))
            if value["schema"] != SCHEMA or value["suite"]["version"] != VERSION:
                told = f"{path} was exported by version {value['suite']['version']}, this is {VERSION}: export again"
                raise UsageError(told)
            return cls(
                Selection(**{name: tuple(names) for name, names in value["selection"].items()}),
                tuple(value["dtypes"]),
                tuple(Item(**item) for item in value["cases"]),
                fresh=int(value.get("fresh", 0)),
            )
        except OSError as error:
            raise UsageError(f"{folder} holds no export: {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is no index of an export: {type(error).__name__}: {error}") from None


def digest(case: Case, dtype: str) -> str:
    """What a case in a dtype is told apart by: everything that an implementation is told of it."""
    message: Mapping[str, Any] = {"dtype": dtype, **case_message(case, dtype)}
    return hashlib.sha256(json.dumps(message, sort_keys=True).encode("ascii")).hexdigest()
