"""Stopped run: what a run that was stopped left behind, and where a run that goes on from it begins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import json_of
from conformance.contract.paths import content_of
from conformance.record.reader import judged_from_json, read_report
from conformance.record.report import Judged

__all__ = ["CHANGING", "StoppedRun", "stopped_run"]

_SAME = ("losses", "schema", "suite", "dialect", "seed", "explore", "fresh", "dtypes", "limits", "selection")
"""Fields of the header that two parts of one run agree on, beside the implementation."""

CHANGING = ("environment",)
"""What may change in an implementation's description from one process, or part of a run, to another."""


@dataclass(frozen=True)
class StoppedRun:
    """The header of a stopped run, the lines of the items that had ended, their names and what was judged."""

    path: Path
    header: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]
    done: frozenset[str]
    judged: tuple[Judged, ...]

    def refuse_another(self, header: Mapping[str, Any]) -> None:
        """Raises `UsageError` where ``header`` is that of another run than the one that was stopped."""
        mine, other = _identity(self.header), _identity(header)
        for name in mine:
            if mine[name] != other[name]:
                told = f"{name} is {_short(other[name])} now and was {_short(mine[name])}"
                raise UsageError(f"cannot resume {self.path}: {told}; run without --resume, or with another --report")

    def refuse_other_items(self, header: Mapping[str, Any]) -> None:
        """Raises `UsageError` where ``header`` is about other items than those of the run that was stopped."""
        if self.header["schema"] > 1 and header["digest"] != self.header["digest"]:
            told = f"its {self.header['items']} checks and the {header['items']} of now are not the same"
            raise UsageError(f"cannot resume {self.path}: {told}; run without --resume, or with another --report")


def stopped_run(path: Path) -> StoppedRun | None:
    """The run that left ``path`` without a footer; None where the file does not exist or holds nothing.

    An item counts as done where the report holds its end and as many verdicts as that counts, it was not cut short, and
    it holds no error of the suite's: the lines of others are left out.
    Raises `UsageError` where the file is no report, or one that is complete.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return None  # killed before the header was written, at the latest
    report = read_report(path)
    if report.complete:
        raise UsageError(f"{path} is complete: there is nothing to resume (`lossconf report {path}` prints it)")
    lines: list[Mapping[str, Any]] = []
    open_item: list[Mapping[str, Any]] = []
    done: set[str] = set()
    for line in _whole_lines(path):
        if line["kind"] in ("header", "resumed"):
            lines.append(line)
            continue
        open_item.append(line)
        if line["kind"] == "end":
            if not line.get("cut") and _is_whole(open_item):
                lines += open_item
                done.add(line["item"])
            open_item = []
    judged = tuple(judged_from_json(line) for line in lines if line["kind"] == "verdict")
    return StoppedRun(path, report.header, tuple(lines), frozenset(done), judged)


def _is_whole(item: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an item's lines, its end the last, are all there, and none is an error of the suite's."""
    kinds = Counter(line["kind"] for line in item)
    return not kinds["harness_error"] and kinds["verdict"] == item[-1].get("verdicts", kinds["verdict"])


def _whole_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a report that could be read; the torn last one is left out."""
    lines = content_of(path, "the report").decode("utf-8", "replace").split("\n")
    yield from (json_of(line) for line in lines[:-1] if line.strip())


def _identity(header: Mapping[str, Any]) -> dict[str, Any]:
    implementation = {name: value for name, value in header["implementation"].items() if name not in CHANGING}
    same = {name: header.get(name) for name in _SAME}
    whole = {**{f"the implementation's {name}": value for name, value in implementation.items()}, **same}
    as_read: dict[str, Any] = json.loads(json.dumps(whole))
    return as_read


def _short(value: Any) -> str:
    return one_line(json.dumps(value), 60)
