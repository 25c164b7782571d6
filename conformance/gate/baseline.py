"""Baseline: the failures that are known and what is not decided, each with a reason; a TOML file that people edit."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError
from conformance.contract.paths import put
from conformance.contract.toml import read_toml
from conformance.contract.verdict import Status, Verdict
from conformance.contract.version import is_suite

__all__ = ["SCHEMA", "Baseline", "Known", "KnownDeclined", "read_baseline", "write_baseline"]

SCHEMA = 1

_HEAD = """\
# Failures of an implementation that are known: `lossconf check REPORT --baseline {name}` accepts these and no others.
# `lossconf baseline update --from REPORT` adds new ones and drops those that are gone; reasons are for people to write.
# [[declined]] accepts that a requirement is not decided. With suite = "N", what is newer than suite version N is told
# and shuts no gate.
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
class KnownDeclined:
    """A requirement that need not be decided: what it does not do, or does not report, inside the limits it states.

    ``dtype`` and ``device`` limit it to one type or kind of device (empty: any). Past the day ``expires``, it has to be
    looked at again.
    """

    reason: str
    requirement: str
    dtype: str = ""
    device: str = ""
    issue: str = ""
    expires: datetime.date | None = None

    def is_about(self, requirement: str, dtype: str) -> bool:
        """Whether it speaks of a requirement in a type."""
        return requirement == self.requirement and self.dtype in ("", dtype)

    def applies(self, dtypes: Sequence[str], devices: Sequence[str]) -> bool:
        """Whether a run in these types on these devices is one that it speaks of."""
        return (not self.dtype or self.dtype in dtypes) and (not self.device or self.device in devices)


@dataclass(frozen=True)
class Baseline:
    """All that is known to fail, and what need not be decided; ``path`` is where it was read from.

    ``suite`` is the version of the suite that is pinned, empty for none.
    """

    known: tuple[Known, ...] = ()
    path: Path = Path("baseline.toml")
    declined: tuple[KnownDeclined, ...] = ()
    suite: str = ""

    def entry_of(self, verdict: Verdict) -> Known:
        """What a failure that is known is known as: by its check, or in a run on fresh values by its requirement."""
        alike = [known for known in self.known if known.requirement == verdict.requirement]
        return next((known for known in alike if known.covers(verdict)), alike[0])


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file. Raises `UsageError` that names the entry at fault and what to do."""
    document = read_toml(path, "the baseline")
    if document.get("schema") != SCHEMA:
        raise UsageError(f"{path}: its schema is {document.get('schema')!r}, and this version reads {SCHEMA}")
    for name, value in document.items():
        if name not in ("schema", "suite", *_TABLES) or (name in _TABLES and not isinstance(value, list)):
            told = "a baseline holds schema, suite, [[known]] and [[declined]] tables"
            raise UsageError(f"{path}: {name!r} is out of place: {told}")
    suite = document.get("suite", "")
    if not isinstance(suite, str) or (suite and not is_suite(suite)):
        raise UsageError(f'{path}: suite is {suite!r:.40} and should be the number of a suite version, as in "2"')
    known, declined = (
        tuple(_entry(entry, kind, needed, f"{path}, {name} {i}") for i, entry in enumerate(document.get(name, []), 1))
        for name, (kind, needed) in _TABLES.items()
    )
    return Baseline(known, path, declined, suite)


_TABLES: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "known": (Known, ("reason", "requirement", "checks")),
    "declined": (KnownDeclined, ("reason", "requirement")),
}
"""The tables of a baseline: what an entry is read to, and the fields that it needs."""


def _entry(entry: Any, kind: type[Any], needed: Sequence[str], place: str) -> Any:
    if not isinstance(entry, dict):
        raise UsageError(f"{place}: not a table")
    names = {field.name for field in fields(kind)}
    for name in entry:
        if name not in names:
            raise UsageError(f"{place}: no field named {name!r}; known: {', '.join(sorted(names))}")
    for name in needed:
        if not entry.get(name):
            raise UsageError(f"{place}: {name} is missing or empty")
    for name, value in entry.items():
        wanted = {"checks": list, "expires": datetime.date}.get(name, str)
        if not isinstance(value, wanted) or isinstance(value, datetime.datetime):
            shape = {"checks": "a list of ids", "expires": "a date, as in 2030-12-31"}.get(name, "a string")
            raise UsageError(f"{place}: {name} is {value!r} and should be {shape}")
    if any(not isinstance(check, str) for check in entry.get("checks", [])):
        raise UsageError(f"{place}: checks should be a list of ids")
    if entry.get("status", "failed") not in _STATUSES:
        raise UsageError(f"{place}: status is {entry['status']!r}; use one of {', '.join(sorted(_STATUSES))}")
    return kind(**{name: tuple(dict.fromkeys(value)) if name == "checks" else value for name, value in entry.items()})


def write_baseline(baseline: Baseline) -> None:
    """Write a baseline to its path, its entries sorted. Raises `UsageError` where that fails."""
    text = "".join(f"{line}\n" for line in _lines(baseline))
    put(baseline.path, text, "the baseline")


def _lines(baseline: Baseline) -> Iterator[str]:
    yield _HEAD.format(name=baseline.path.name)
    yield f"schema = {SCHEMA}"
    if baseline.suite:
        yield f"suite = {_string(baseline.suite)}"
    for known in sorted(baseline.known, key=lambda k: (k.requirement, k.status, k.dtype, k.device, k.checks)):
        yield from _table("known", known)
        yield "checks = ["
        yield from (f"    {_string(check)}," for check in sorted(known.checks))
        yield "]"
    for declined in sorted(baseline.declined, key=lambda d: (d.requirement, d.dtype, d.device)):
        yield from _table("declined", declined)


def _table(name: str, entry: Known | KnownDeclined) -> Iterator[str]:
    yield ""
    yield f"[[{name}]]"
    yield f"reason = {_string(entry.reason)}"
    yield f"requirement = {_string(entry.requirement)}"
    for field in ("status", "dtype", "device", "issue"):
        value = getattr(entry, field, "")
        if value and (field, value) != ("status", "failed"):
            yield f"{field} = {_string(value)}"
    if entry.expires:
        yield f"expires = {entry.expires.isoformat()}"


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, and nothing in it that does not print."""
    plain = json.dumps(text.encode("utf-8", "replace").decode("utf-8"), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain)
