"""Baseline: the failures that are known, each with a reason; a TOML file that people read and edit."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError
from conformance.contract.toml import read_toml
from conformance.contract.verdict import Status, Verdict

__all__ = ["SCHEMA", "Baseline", "Known", "read_baseline", "write_baseline"]

SCHEMA = 1

_HEAD = """\
# Failures of an implementation that are known: `lossconf check REPORT --baseline {name}` accepts these and no others.
# `lossconf baseline update --from REPORT` adds new ones and drops those that are gone; reasons are for people to write.
"""

_STATUSES = {status.value for status in Status if status.breaks}


@dataclass(frozen=True)
class Known:
    """Checks that are known to fail one requirement in one way.

    ``status`` is failed, crashed, timed_out or protocol_error. ``dtype`` and ``device`` limit it to one type or kind of
    device (empty: any). Past the day ``expires``, it has to be looked at again.
    """

    reason: str
    requirement: str
    checks: tuple[str, ...]
    status: str = "failed"
    dtype: str = ""
    device: str = ""
    issue: str = ""
    expires: datetime.date | None = None

    def covers(self, verdict: Verdict) -> bool:
        """Whether a broken verdict is the failure that is known."""
        return self.is_about(verdict) and verdict.status.value == self.status

    def is_about(self, verdict: Verdict) -> bool:
        """Whether a verdict, however it came out, is on what is known to fail."""
        same = verdict.requirement == self.requirement and verdict.check in self.checks
        return same and self.dtype in ("", verdict.dtype)

    def applies(self, dtypes: Sequence[str], devices: Sequence[str]) -> bool:
        """Whether a run in these types on these devices is one that it speaks of."""
        return (not self.dtype or self.dtype in dtypes) and (not self.device or self.device in devices)


@dataclass(frozen=True)
class Baseline:
    """All that is known to fail; ``path`` is where it was read from."""

    known: tuple[Known, ...] = ()
    path: Path = Path("baseline.toml")


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file. Raises `UsageError` that names the entry at fault and what to do."""
    document = read_toml(path, "the baseline")
    if document.get("schema") != SCHEMA:
        raise UsageError(f"{path}: its schema is {document.get('schema')!r}, and this version reads {SCHEMA}")
    entries = document.get("known", [])
    strange = sorted(set(document) - {"schema", "known"})
    if strange or not isinstance(entries, list):
        first = strange[0] if strange else "known"
        raise UsageError(f"{path}: {first!r} is out of place: a baseline holds schema and [[known]] tables")
    return Baseline(tuple(_known(entry, f"{path}, entry {i}") for i, entry in enumerate(entries, 1)), path)


def _known(entry: Any, place: str) -> Known:
    if not isinstance(entry, dict):
        raise UsageError(f"{place}: not a table")
    names = {field.name for field in fields(Known)}
    for name in entry:
        if name not in names:
            raise UsageError(f"{place}: no field named {name!r}; known: {', '.join(sorted(names))}")
    for name in ("reason", "requirement", "checks"):
        if not entry.get(name):
            raise UsageError(f"{place}: {name} is missing or empty")
    for name, value in entry.items():
        wanted = {"checks": list, "expires": datetime.date}.get(name, str)
        if not isinstance(value, wanted) or isinstance(value, datetime.datetime):
            shape = {"checks": "a list of ids", "expires": "a date, as in 2030-12-31"}.get(name, "a string")
            raise UsageError(f"{place}: {name} is {value!r} and should be {shape}")
    if any(not isinstance(check, str) for check in entry["checks"]):
        raise UsageError(f"{place}: checks should be a list of ids")
    if entry.get("status", "failed") not in _STATUSES:
        raise UsageError(f"{place}: status is {entry['status']!r}; use one of {', '.join(sorted(_STATUSES))}")
    return Known(**{**entry, "checks": tuple(dict.fromkeys(entry["checks"]))})


def write_baseline(baseline: Baseline) -> None:
    """Write a baseline to its path, its entries sorted. Raises `UsageError` where that fails."""
    text = "".join(f"{line}\n" for line in _lines(baseline))
    try:
        baseline.path.write_bytes(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"cannot write the baseline {baseline.path}: {error.strerror}") from None


def _lines(baseline: Baseline) -> Iterator[str]:
    yield _HEAD.format(name=baseline.path.name)
    yield f"schema = {SCHEMA}"
    for known in sorted(baseline.known, key=lambda k: (k.requirement, k.status, k.dtype, k.device, k.checks)):
        yield ""
        yield "[[known]]"
        yield f"reason = {_string(known.reason)}"
        yield f"requirement = {_string(known.requirement)}"
        for name in ("status", "dtype", "device", "issue"):
            value = getattr(known, name)
            if value and (name, value) != ("status", "failed"):
                yield f"{name} = {_string(value)}"
        if known.expires:
            yield f"expires = {known.expires.isoformat()}"
        yield "checks = ["
        yield from (f"    {_string(check)}," for check in sorted(known.checks))
        yield "]"


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, and nothing in it that does not print."""
    plain = json.dumps(text.encode("utf-8", "replace").decode("utf-8"), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain)
