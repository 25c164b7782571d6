"""Report: what a run found: ``report.jsonl`` is the truth, and everything a person sees is rendered from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from conformance.contract.item import check_of, dtype_of
from conformance.contract.verdict import Verdict

__all__ = ["READABLE", "SCHEMA", "Judged", "Report", "net_last"]

SCHEMA = 2
"""The version of the report's format that is written."""

READABLE = (1, SCHEMA)
"""Versions that are read; evidence of version 1 does not hold what was wanted."""


@dataclass(frozen=True)
class Judged:
    """A verdict and its place: ``family`` is the suite module, ``stem`` the layer it is about, or "net".

    ``since`` is the version of the suite that first asked for it: of its requirement or its check, the later one.
    """

    family: str
    stem: str
    verdict: Verdict
    since: str = "1"


@dataclass(frozen=True)
class Report:
    """What a report file says. Without a footer the run did not end by itself, and the report is incomplete; so it is
    where the run ended after as many failing checks as it was to bear.

    ``harness_errors`` are failures of the suite, not of the implementation: such a run says nothing. ``evidence`` are
    the cases that failed with what was answered, ``ended`` the items that ran to their end; both as they are written.
    """

    header: Mapping[str, Any]
    judged: tuple[Judged, ...] = ()
    harness_errors: tuple[Mapping[str, Any], ...] = ()
    footer: Mapping[str, Any] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    ended: tuple[Mapping[str, Any], ...] = ()

    @property
    def complete(self) -> bool:
        return self.footer is not None and not self.stopped_after

    @property
    def suite(self) -> str:
        """The version of the suite that judged, that of its requirements."""
        return str(self.header["suite"].get("requirements", "1"))

    @property
    def stopped_after(self) -> int:
        """The failing checks after which the run was to end and did; 0 where it went on."""
        return int(self.footer.get("stopped_after", 0)) if self.footer is not None else 0

    @property
    def selected(self) -> dict[str, Any]:
        """What of the suite was chosen, by the names of a selection's parts; empty where all of it was."""
        chosen = self.header["selection"]
        named = {**chosen.get("selection", {}), "keyword": chosen.get("keyword")}
        return {name: value for name, value in named.items() if value}

    @cached_property
    def ran(self) -> frozenset[tuple[str, str]]:
        """The checks and their cases that ran to their end, each with its type."""
        judged = {(each.verdict.check, each.verdict.dtype) for each in self.judged}
        items = [(check_of(str(end["item"])), dtype_of(str(end["item"])), end["cases"]) for end in self.ended]
        return frozenset(judged | {(name, dtype) for check, dtype, cases in items for name in (check, *cases)})

    @property
    def counts(self) -> Counter[str]:
        """How many verdicts of each status."""
        return Counter(judged.verdict.status.value for judged in self.judged)


def net_last(stem: str) -> tuple[bool, str]:
    """What stems are sorted by: losses in the order of the alphabet, then the net."""
    return stem == "net", stem
