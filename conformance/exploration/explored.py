"""Explored: what the report of a block of seeds says of the cases that were run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.contract.errors import UsageError
from conformance.contract.exit_codes import ExitCode
from conformance.contract.item import check_of
from conformance.contract.verdict import Status, Verdict
from conformance.record.conclusion import is_must
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.report import Judged, Report

__all__ = ["Explored", "Place"]

Place = tuple[str, str]
"""A loss's stem, and the mark of its space."""


@dataclass
class Explored:
    """``rows`` are those of the cases that were decided, by loss and type, ``others`` how many of a loss were not, for
    which reason; ``over`` the seeds of which every check had ended, ``checks`` how many of each loss had, each a seed
    in a type. ``broken`` are the failing musts, ``undecided`` those that were neither passed nor failed, ``errors``
    what went wrong in the suite itself."""

    name: str = ""
    complete: bool = True
    over: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    rows: dict[tuple[Place, str], list[str]] = field(default_factory=dict)
    broken: list[Judged] = field(default_factory=list)
    others: dict[str, Counter[str]] = field(default_factory=dict)
    undecided: list[Verdict] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    @classmethod
    def of(cls, report: Report) -> Explored:
        """What a block's report holds, whether or not it has come to its end."""
        named = report.header["implementation"]
        found = cls(
            " ".join(str(word) for word in (named["name"], named["version"]) if word),
            report.complete,
            _over(report),
            Counter(str(end["item"]).split("/")[1] for end in report.ended),
            sum(float(end.get("seconds", 0.0)) for end in report.ended),
            [f"{error['item']}: {error['message']}" for error in report.harness_errors],
            evidence=evidence_of(report),
        )
        for judged in report.judged:
            found._take(judged)
        return found

    def _take(self, judged: Judged) -> None:
        verdict = judged.verdict
        if "rows" in verdict.detail:
            place = (judged.stem, str(verdict.detail["space"]))
            self.rows.setdefault((place, verdict.dtype), []).extend(verdict.detail["rows"])
            self.others.setdefault(judged.stem, Counter()).update(verdict.detail.get("others", {}))
        if not is_must(verdict) or verdict.limit:
            return
        if verdict.status.breaks:
            self.broken.append(judged)
        elif verdict.status is not Status.PASSED:
            self.undecided.append(verdict)

    def add(self, other: Explored) -> None:
        """What another block holds, too. Raises `UsageError` where that is about another implementation."""
        if self.name and other.name != self.name:
            told = f"some of its blocks are about {self.name}, and others about {other.name}"
            raise UsageError(f"no campaign about one implementation: {told}; explore each in a folder of its own")
        self.name = other.name
        self.complete = self.complete and other.complete
        self.over += other.over
        self.checks.update(other.checks)
        self.seconds += other.seconds
        self.errors += other.errors
        for place, rows in other.rows.items():
            self.rows.setdefault(place, []).extend(rows)
        for stem, reasons in other.others.items():
            self.others.setdefault(stem, Counter()).update(reasons)
        self.broken += other.broken
        self.undecided += other.undecided
        self.evidence += other.evidence

    @property
    def cases(self) -> int:
        """How many cases were decided."""
        return sum(map(len, self.rows.values()))

    @property
    def code(self) -> ExitCode:
        """What a campaign ends with that has come so far."""
        if self.errors:
            return ExitCode.HARNESS_BROKEN
        if self.broken:
            return ExitCode.DOES_NOT_CONFORM
        return ExitCode.UNDECIDED if self.undecided or not self.cases else ExitCode.CONFORMS


def _over(report: Report) -> int:
    """How many seeds had every check of theirs ended."""
    ended = Counter(check_of(str(end["item"])).rpartition("/")[2] for end in report.ended)
    return sum(count * report.header["explore"] == report.header["items"] for count in ended.values())
