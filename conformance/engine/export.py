"""Export: a folder with one file per case, the same cases as requests of the protocol, an index and instructions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from conformance.contract.dtypes import NAMES
from conformance.contract.errors import UsageError
from conformance.contract.paths import failed, put
from conformance.contract.selection import Planned, Selection
from conformance.engine.gather import gather
from conformance.protocol import PASSES_SINCE, VERSION, case_message, request
from conformance.protocol.index import Index, Item, digest

__all__ = ["export"]

LARGE = 1 << 20
"""Bytes of a case's file beyond which it is left out unless asked for."""


def export(
    folder: Path, selection: Selection, planned: Iterable[Planned], large: bool = False, fresh: int = 0
) -> Index:
    """Write the cases of the items to ``folder``, which is made, with values from the seed ``fresh``, 0: as published.

    Raises `UsageError` where the folder is not empty.
    """
    _refuse_taken(folder)
    found = [(dtype, case, case_message(case, dtype)) for dtype, case in gather(planned, fresh)]
    kept = [each for each in found if large or len(json.dumps(each[2])) <= LARGE]
    if not kept:
        raise UsageError("no check of the selection has cases to export")
    _make(folder)
    items: list[Item] = []
    known: set[str] = set()
    taken: Counter[str] = Counter()
    with (folder / "requests.jsonl").open("wb") as requests:
        requests.write(request("describe", 1, protocol=VERSION))
        for dtype, case, message in kept:
            mark = digest(case, dtype)
            if mark in known:
                continue
            known.add(mark)
            version = PASSES_SINCE if case.passes else 1
            item = Item(len(items) + 2, dtype, _free(f"{dtype}/{case.id}", taken), mark, version)
            items.append(item)
            requests.write(request("run", item.number, dtype=dtype, case=message))
            content = {"number": item.number, "id": case.id, "dtype": dtype, "case": message}
            _write(folder / "cases" / item.file, json.dumps(content, indent=1))
        requests.write(request("stop", len(items) + 2))
    for dtype in {item.dtype for item in items}:
        (folder / "answers" / dtype).mkdir(parents=True)
    dtypes = tuple(dtype for dtype in NAMES if any(i.dtype == dtype for i in items))
    index = Index(selection, dtypes, tuple(items), fresh=fresh)
    index.write(folder)
    _write(folder / "README.md", _instructions(index))
    return index


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty: export to a folder of its own")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed(f"cannot make {folder}", error) from None


def _write(path: Path, text: str) -> None:
    _make(path.parent)
    put(path, text + "\n")


def _free(stem: str, taken: Counter[str]) -> str:
    """A file's name made of the case's id, which several cases of a check may share."""
    name = re.sub(r"[^A-Za-z0-9._/+-]", "_", stem)
    taken[name] += 1
    return f"{name}.json" if taken[name] == 1 else f"{name}.{taken[name]}.json"


def _instructions(index: Index) -> str:
    text = (files("conformance.engine") / "instructions.md").read_text("utf-8").rstrip("\n")
    words = {"VERSION": index.version, "COUNT": str(len(index.items)), "DTYPES": ", ".join(index.dtypes)}
    for word, value in words.items():
        text = text.replace(word, value)
    return text
