"""Entry: what a scoreboard keeps of one report: its conclusion, its musts by loss and type, and what fails why."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.contract.errors import one_line
from conformance.contract.verdict import Verdict
from conformance.diagnosis.diagnosis import causes_of
from conformance.gate import Baseline, Known, decision_on
from conformance.gate.gate import broken
from conformance.record.conclusion import Conclusion, Musts, Undecided
from conformance.record.devices import device_of
from conformance.record.report import Judged, Report, net_last
from conformance.views.summary import concluded
from conformance.views.text import printable

__all__ = ["Bug", "Entry", "Failing", "added", "entry_of", "name_of_file"]

_NAME = 300
"""Characters that are kept of a name."""

Place = tuple[str, str]
"""A loss, or "net", and a type."""


@dataclass(frozen=True)
class Bug:
    """Failures that are known, by what a baseline says of them; ``issue`` is where they are told, or empty."""

    reason: str
    issue: str = ""

    @classmethod
    def of(cls, known: Known) -> Bug:
        return cls(known.reason, known.issue)

    @property
    def id(self) -> str:
        """A name for a file: the first words of the reason, and enough of a digest to tell any two apart."""
        digest = hashlib.sha256(f"{self.reason}\n{self.issue}".encode("utf-8", "replace")).hexdigest()
        return f"{name_of_file(self.reason, 40)}-{digest[:8]}"


@dataclass(frozen=True)
class Failing:
    """Musts of one requirement, on one loss in one type, that broke in one way for one reason: a bug that is known, or
    else the likeliest cause. ``check`` is the first of them."""

    layer: str
    dtype: str
    requirement: str
    status: str
    count: int
    check: str
    bug: Bug | None = None
    cause: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "bug": self.bug.id if self.bug else ""}


@dataclass(frozen=True)
class Entry:
    """One implementation on the scoreboard. ``words``, ``line``, ``exit`` and all counts are those of the report's
    `Conclusion` beside its baseline; ``cells`` add up to ``musts``."""

    name: str
    version: str
    language: str
    device: str
    suite: str
    claim: str
    words: str
    line: str
    exit: int
    good: bool
    known: int
    musts: Musts
    recommendations: Musts
    declined: Mapping[str, int]
    cells: Mapping[Place, Musts]
    failing: Sequence[Failing]
    undecided: Sequence[Undecided]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}".strip()

    def to_json(self) -> dict[str, Any]:
        plain = ("name", "version", "language", "device", "suite", "claim", "words", "line", "exit", "good", "known")
        return {
            **{name: getattr(self, name) for name in plain},
            "musts": self.musts.to_json(),
            "recommendations": self.recommendations.to_json(),
            "declined": dict(self.declined),
            "cells": [{"layer": layer, "dtype": dtype, **m.to_json()} for (layer, dtype), m in self.cells.items()],
            "failing": [each.to_json() for each in self.failing],
            "undecided": [vars(each) for each in self.undecided],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], bugs: Mapping[str, Bug]) -> Entry:
        """The entry of a document that fits the schema. Raises `ValueError` where its numbers contradict each other,
        `KeyError` for a bug that the document lacks."""
        cells = {(cell["layer"], cell["dtype"]): _musts(cell) for cell in value["cells"]}
        failing = [Failing(**{**each, "bug": bugs[each["bug"]] if each["bug"] else None}) for each in value["failing"]]
        undecided = [Undecided(**each) for each in value["undecided"]]
        told = {**value, "cells": cells, "failing": failing, "undecided": undecided}
        found = cls(**{**told, "musts": _musts(value["musts"]), "recommendations": _musts(value["recommendations"])})
        sums = added(cells.values())
        counts = (sum(each.count for each in failing), sum(each.count for each in undecided))
        if sums != found.musts or counts != (found.musts.failed, found.musts.undecided):
            raise ValueError(f"the numbers of {one_line(found.title, 60)} do not add up to its musts")
        return found


_COUNTED = ("owed", "claimed", "decided", "passed")


def _musts(value: Mapping[str, Any]) -> Musts:
    return Musts(*(value[name] for name in _COUNTED))


def added(musts: Iterable[Musts]) -> Musts:
    """The counts of several places as one."""
    each = list(musts)
    return Musts(*(sum(getattr(m, name) for m in each) for name in _COUNTED))


def entry_of(report: Report, baseline: Baseline | None = None) -> Entry:
    """The entry of a report; what the baseline knows of its failures makes the bugs. Raises `UsageError` for evidence
    that cannot be read."""
    found = concluded(report, baseline)
    named = report.header["implementation"]
    return Entry(
        name=printable(named["name"], _NAME),
        version=printable(named["version"], _NAME),
        language=printable(named.get("language") or "", _NAME),
        device=device_of(report.header),
        suite=report.suite,
        claim=found.claim,
        words=found.words,
        line=found.line,
        exit=int(found.code),
        good=found.good,
        known=found.known,
        musts=found.musts,
        recommendations=found.recommendations,
        declined=found.declined,
        cells=_cells(report.judged),
        failing=_failing(report, found, baseline),
        undecided=found.undecided,
    )


def _cells(judged: Sequence[Judged]) -> dict[Place, Musts]:
    """Musts by loss and type, the net last; only where some is owed."""
    members: dict[Place, list[Verdict]] = defaultdict(list)
    for each in judged:
        members[each.stem, each.verdict.dtype].append(each.verdict)
    counted = {place: Musts.of(members[place]) for place in sorted(members, key=lambda p: (net_last(p[0]), p))}
    return {place: musts for place, musts in counted.items() if musts.owed}


def _failing(report: Report, found: Conclusion, baseline: Baseline | None) -> list[Failing]:
    """What broke, by what it is known as, or by its likeliest cause; the most first."""
    stems = {(judged.verdict.check, judged.verdict.dtype): judged.stem for judged in report.judged}
    known = set(map(id, decision_on(report, baseline, None).known))
    causes = causes_of(report) if found.musts.failed else {}
    counts: Counter[Failing] = Counter()
    first: dict[Failing, str] = {}
    for verdict in broken(report):
        place = (verdict.check, verdict.dtype)
        bug = Bug.of(baseline.entry_of(verdict)) if baseline and id(verdict) in known else None
        cause = causes[place].sentence if not bug and place in causes else ""
        group = Failing(stems[place], verdict.dtype, verdict.requirement, verdict.status.value, 0, "", bug, cause)
        counts[group] += 1
        first.setdefault(group, printable(verdict.check, _NAME))
    return [replace(group, count=count, check=first[group]) for group, count in counts.most_common()]


def name_of_file(text: str, longest: int) -> str:
    """A text as a file or an address may be called: lower case, hyphens between words."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:longest].strip("-") or "unnamed"
