"""Export: a folder with one file per case, the same cases as requests of the protocol, an index and instructions."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from conformance.contract.dtypes import DEFAULT
from conformance.contract.errors import NotWhole, UsageError
from conformance.contract.paths import failed, put
from conformance.contract.selection import Planned, Selection
from conformance.engine.gather import gather
from conformance.protocol import PASSES_SINCE, VERSION, case_message, request
from conformance.protocol.index import NAME, Index, Item, digest
from conformance.suite import plan

__all__ = ["export", "refuse_other_index"]

_Kept = tuple[Item, str, dict[str, Any]]
"""A case that an export holds: its place in the index, its id and its message."""

LARGE = 1 << 20
"""Bytes of a case's file beyond which it is left out unless asked for."""


def export(
    folder: Path, selection: Selection, planned: Iterable[Planned], large: bool = False, fresh: int = 0
) -> Index:
    """Write the cases of the items to ``folder``, which is made, with values from the seed ``fresh``, 0: as published.

    Whole or not at all: where the system fails, or somebody interrupts it, the folder is empty or not there, as before.
    Raises `UsageError` where the folder is not empty.
    """
    _refuse_taken(folder)
    kept = list(_numbered(planned, large, fresh))
    if not kept:
        raise UsageError("no check of the selection has cases to export")
    was_there = folder.exists()
    _make(folder)
    try:
        return _written(folder, selection, kept, large, fresh)
    except BaseException:  # half an export is none: what was made of it goes
        for path in folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not was_there:
            folder.rmdir()
        raise


def _written(folder: Path, selection: Selection, kept: Sequence[_Kept], large: bool, fresh: int) -> Index:
    items = tuple(item for item, _, _ in kept)
    with (folder / "requests.jsonl").open("wb") as requests:
        requests.write(request("describe", 1, protocol=VERSION))
        for item, name, message in kept:
            requests.write(request("run", item.number, dtype=item.dtype, case=message))
            content = {"number": item.number, "id": name, "dtype": item.dtype, "case": message}
            _write(folder / "cases" / item.file, json.dumps(content, indent=1))
        requests.write(request("stop", len(items) + 2))
    for dtype in {item.dtype for item in items}:
        (folder / "answers" / dtype).mkdir(parents=True)
    dtypes = tuple(sorted({item.dtype for item in items}, key=lambda dtype: ((*DEFAULT, dtype).index(dtype), dtype)))
    index = Index(selection, dtypes, items, fresh=fresh, large=large)
    index.write(folder)
    _write(folder / "README.md", _instructions(index))
    return index


def refuse_other_index(index: Index, folder: Path) -> None:
    """Raises `NotWhole` where an index that came back is not the one that its selection, types and seed give."""
    chosen = replace(index.selection, dtypes=index.dtypes)
    own = tuple(item for item, _, _ in _numbered(plan(chosen, DEFAULT), index.large, index.fresh))
    if own != index.items:
        differs = len(set(own) - set(index.items))
        told = (
            f"it lists {len(index.items)} cases, and {differs} of the {len(own)} that were exported are not among them"
        )
        raise NotWhole(f"{folder / NAME} is not the one that was exported: {told}; put that one back, or export again")


def _numbered(planned: Iterable[Planned], large: bool, fresh: int) -> Iterator[_Kept]:
    """Each case that an export holds: its place in the index, its id and its message."""
    known: set[str] = set()
    taken: Counter[str] = Counter()
    for dtype, case in gather(planned, fresh):
        message = case_message(case, dtype)
        if not large and len(json.dumps(message)) > LARGE:
            continue
        mark = digest(case, dtype)
        if mark not in known:
            known.add(mark)
            version = PASSES_SINCE if case.passes else 1
            yield Item(len(known) + 1, dtype, _free(f"{dtype}/{case.id}", taken), mark, version), case.id, message


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
