"""Lock: how many verdicts every check has to reach; a text file with a line per check and type.

A check that is skipped, becomes unsupported or reports less than it did fails nothing, so that nothing would tell.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, json_of
from conformance.contract.item import TYPE
from conformance.contract.paths import put, text_of
from conformance.contract.verdict import Status
from conformance.record.report import Report

__all__ = ["LARGEST", "Lock", "decided", "read_lock", "write_lock"]

_HEAD = "# What has to run: CHECK[TYPE] and how many verdicts it has to reach. Written by `lossconf baseline lock`."
_SUITE = re.compile(r"# suite ([0-9]{1,9})")
_SELECTED = "# selected "
_LINE = re.compile(rf"(\S+\[(?:{TYPE})\]) ([0-9]{{1,9}})")

LARGEST = 1 << 26
"""Bytes of a lock that are read."""


@dataclass(frozen=True)
class Lock:
    """``counts`` maps CHECK[TYPE] to the verdicts to reach; ``suite`` is the version of the suite that counted them:
    what is newer shuts no gate until it is locked anew. ``selected`` is what of the suite was chosen, by the names of a
    selection's parts; empty where all of it was."""

    counts: Mapping[str, int]
    suite: str
    path: Path = field(default=Path("lossconf.lock"), compare=False)
    selected: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Report, path: Path) -> Lock:
        """What a report shows to have run: the verdicts that passed, and at least one of a check that decided any.

        What fails is a baseline's to watch: a failure may be told under more requirements than the pass that mends it.
        """
        passed = Counter(j.verdict.item for j in report.judged if j.verdict.status is Status.PASSED)
        counts = {name: max(1, passed[name]) for name in decided(report)}
        return cls(counts, report.suite, path, report.selected)


def decided(report: Report) -> Counter[str]:
    """The verdicts of each check that say something of the implementation: passed or broken."""
    verdicts = (judged.verdict for judged in report.judged)
    return Counter(verdict.item for verdict in verdicts if verdict.status.decides)


def read_lock(path: Path) -> Lock:
    """The lock in a file. Raises `UsageError` that names the line at fault."""
    lines = text_of(path, "the lock", LARGEST).split("\n")
    counts: dict[str, int] = {}
    suite, chosen = "", {}
    for number, line in enumerate((line.removesuffix("\r") for line in lines), 1):
        if line.startswith("#") or not line.strip():
            told = _SUITE.fullmatch(line)
            suite = told[1] if told else suite
            if line.startswith(_SELECTED):
                chosen = _selected(line, f"{path}, line {number}")
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise UsageError(f"{path}, line {number}: {one_line(line, 60)!r} is not CHECK[TYPE] and a number")
        if found[1] in counts:
            raise UsageError(f"{path}, line {number}: {one_line(found[1], 60)} is locked twice: keep one of the lines")
        counts[found[1]] = int(found[2])
    if not counts:
        raise UsageError(f"{path} locks nothing: write it with `lossconf baseline lock --from REPORT`")
    if not suite:
        raise UsageError(f"{path} names no suite version (`# suite 2`): write it anew with `lossconf baseline lock`")
    return Lock(counts, suite, path, chosen)


def _selected(line: str, place: str) -> dict[str, Any]:
    try:
        value = json_of(line.removeprefix(_SELECTED))
    except Malformed:
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"{place}: what was selected is no JSON object: write it anew with `lossconf baseline lock`")
    return value


def write_lock(lock: Lock) -> None:
    """Write a lock to its path, sorted. Raises `UsageError` where that fails, or a name would not be read back."""
    body = [f"{name} {count}" for name, count in sorted(lock.counts.items())]
    for line in (*body, lock.suite):
        if not line.isprintable() or (line is not lock.suite and not _LINE.fullmatch(line)):
            raise UsageError(f"cannot lock {one_line(line, 100)!r}: no check, and no suite, is named so")
    chosen = [_SELECTED + json.dumps(lock.selected)] if lock.selected else []
    put(lock.path, "\n".join([_HEAD, f"# suite {lock.suite}", *chosen, *body]) + "\n", "the lock")
