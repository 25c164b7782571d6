"""Differences: what is different between two reports, and whether the implementation changed it or the suite did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.contract.item import dtype_of
from conformance.contract.verdict import Level, Status, Verdict
from conformance.contract.version import is_news
from conformance.record.conclusion import is_must
from conformance.record.report import Report

__all__ = ["Change", "Differences", "differences_between"]

Key = tuple[str, str, str]
"""Check, dtype and requirement."""


@dataclass(frozen=True)
class Change:
    """A verdict that came out otherwise; ``by_suite`` where the check or its judge is another one now."""

    old: Verdict
    new: Verdict
    by_suite: bool

    @property
    def kind(self) -> str:
        """broke, mended or became (anything else)."""
        if self.new.status.breaks and not self.old.status.breaks:
            return "broke"
        return "mended" if self.old.status.breaks and self.new.status is Status.PASSED else "became"


@dataclass(frozen=True)
class Differences:
    """``added`` and ``removed`` are verdicts that only one report has; ``suites`` are the two versions of the suite.

    ``news`` are those of the added ones that the older suite did not ask for.
    """

    changed: tuple[Change, ...]
    added: tuple[Verdict, ...]
    removed: tuple[Verdict, ...]
    suites: tuple[str, str]
    news: tuple[Verdict, ...] = ()

    @property
    def failing_news(self) -> list[Verdict]:
        """Failures that are the suite's news: nothing got worse, something more is asked."""
        return [verdict for verdict in self.news if verdict.status.breaks and is_must(verdict)]

    @property
    def regressions(self) -> list[Change]:
        """What the implementation broke, recommendations aside."""
        return [c for c in self.changed if c.kind == "broke" and not c.by_suite and c.new.level is not Level.SHOULD]


def differences_between(old: Report, new: Report) -> Differences:
    """The verdicts of two reports, compared by check, type and requirement.

    A change is the suite's where the check was given another case (its digest differs), or where the implementation is
    the very same and the suite is not.
    """
    before, after = _by_key(old), _by_key(new)
    cases, cases_now = _digests(old), _digests(new)
    suites = (old.suite, new.suite)
    programs = {report.header["suite"]["version"] for report in (old, new)}
    judge_alone = (len(programs) > 1 or suites[0] != suites[1]) and _identity(old) == _identity(new)
    since = {_key(each.verdict): each.since for each in new.judged}
    added = tuple(verdict for key, verdict in after.items() if key not in before)
    changed = tuple(
        Change(before[key], after[key], judge_alone or cases.get(key[:2]) != cases_now.get(key[:2]))
        for key in before.keys() & after.keys()
        if before[key].status is not after[key].status
    )
    return Differences(
        tuple(sorted(changed, key=lambda c: (c.new.check, c.new.dtype, c.new.requirement))),
        added,
        tuple(verdict for key, verdict in before.items() if key not in after),
        suites,
        tuple(verdict for verdict in added if is_news(since[_key(verdict)], old.suite)),
    )


def _by_key(report: Report) -> dict[Key, Verdict]:
    return {_key(judged.verdict): judged.verdict for judged in report.judged}


def _key(verdict: Verdict) -> Key:
    return verdict.check, verdict.dtype, verdict.requirement


def _digests(report: Report) -> dict[tuple[str, str], str]:
    """The digest of each case, by its id and dtype."""
    return dict(_each_digest(report))


def _each_digest(report: Report) -> Iterator[tuple[tuple[str, str], str]]:
    for end in report.ended:
        dtype = dtype_of(str(end["item"]))
        for case, digest in end["cases"].items():
            yield (case, dtype), digest


def _identity(report: Report) -> Mapping[str, Any]:
    return {**report.header["implementation"], "dialect asked for": report.header["dialect"]}
