"""Conclusion: what a report comes to: the musts that were owed, claimed, decided and passed, and what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from conformance.contract.errors import one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Level, Status, Verdict
from conformance.record.report import Report

__all__ = ["Conclusion", "Musts", "Undecided", "implementation_of", "is_must"]

_DECLINED = 4
"""Limits of which a line says how much they declined; more are counted together."""

_NAMED = 3
"""Names of a selection that a line lists; more are counted."""


@dataclass(frozen=True)
class Musts:
    """Counts of musts: a must is one case, requirement and type, and a quirk counts as one.

    What is ``owed`` holds for the case, what is ``claimed`` lies within limits that were stated before the first case,
    what is ``decided`` has passed or broken.
    """

    owed: int = 0
    claimed: int = 0
    decided: int = 0
    passed: int = 0

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Musts:
        owed = [verdict for verdict in verdicts if is_must(verdict)]
        claimed = [verdict.status for verdict in owed if not verdict.limit]
        decided = sum(status.decides for status in claimed)
        return cls(len(owed), len(claimed), decided, sum(status is Status.PASSED for status in claimed))

    def to_json(self) -> dict[str, int]:
        names = ("owed", "claimed", "decided", "passed", "failed", "undecided", "declined")
        return {name: getattr(self, name) for name in names}

    @property
    def failed(self) -> int:
        return self.decided - self.passed

    @property
    def undecided(self) -> int:
        return self.claimed - self.decided

    @property
    def declined(self) -> int:
        return self.owed - self.claimed


@dataclass(frozen=True)
class Undecided:
    """Musts, owed and claimed, of one requirement in one type that were not decided for one reason."""

    requirement: str
    dtype: str
    status: str
    reason: str
    count: int


def is_must(verdict: Verdict) -> bool:
    """Whether a verdict is on a must that is owed: recommendations are none, and what is not applicable is not owed."""
    return verdict.level is not Level.SHOULD and verdict.status is not Status.NOT_APPLICABLE


def implementation_of(header: Mapping[str, Any]) -> str:
    """Name and version of who was judged."""
    named = header["implementation"]
    return " ".join(str(word) for word in (named["name"], named["version"]) if word)


@dataclass(frozen=True)
class Conclusion:
    """What a report comes to; a baseline expects ``known`` failures, and accepts that ``accepted`` musts are open.

    The order of what counts: the suite broke, the run was stopped, something broke, the run is a share of one,
    something was not decided.
    """

    report: Report
    known: int = 0
    accepted: int = 0

    @cached_property
    def musts(self) -> Musts:
        return Musts.of(judged.verdict for judged in self.report.judged)

    @cached_property
    def recommendations(self) -> Musts:
        """The same counts of recommendations."""
        shoulds = (each.verdict for each in self.report.judged if each.verdict.level is Level.SHOULD)
        counted = [v for v in shoulds if v.status is not Status.NOT_APPLICABLE]
        claimed = [v.status for v in counted if not v.limit]
        decided = sum(status.decides for status in claimed)
        return Musts(len(counted), len(claimed), decided, sum(status is Status.PASSED for status in claimed))

    @cached_property
    def not_applicable(self) -> int:
        """Verdicts on what is not owed."""
        return sum(each.verdict.status is Status.NOT_APPLICABLE for each in self.report.judged)

    @cached_property
    def declined(self) -> dict[str, int]:
        """How many musts lie outside of each limit, every stated one named, the largest first."""
        counts = Counter(each.verdict.limit for each in self.report.judged if is_must(each.verdict))
        del counts[""]
        stated = self.report.header.get("limits") or ()
        return dict(counts.most_common()) | {limit: 0 for limit in stated if limit not in counts}

    @cached_property
    def undecided(self) -> list[Undecided]:
        """What was owed and claimed and not decided, the most first."""
        found = Counter(
            (v.requirement, v.dtype, v.status.value, v.reason)
            for v in (each.verdict for each in self.report.judged)
            if is_must(v) and not v.limit and not v.status.decides
        )
        return [Undecided(*key, count) for key, count in found.most_common()]

    @cached_property
    def refused(self) -> dict[str, int]:
        """Of each layer type that forks mean several things by, the nets that were refused, where no form refuses them
        that nothing computed speaks against: all of them where nothing was computed."""
        left: dict[str, set[str]] = {}
        refusing: dict[str, list[set[str]]] = {}
        for verdict in (each.verdict for each in self.report.judged):
            if verdict.requirement.startswith("refusal."):
                continue
            for kind, forms in verdict.detail.get("forms", {}).items():
                if verdict.detail.get("refused"):
                    refusing.setdefault(kind, []).append(set(forms))
                else:
                    fitting = {*forms, *verdict.detail.get("silent", {}).get(kind, ())}
                    left[kind] = left.get(kind, fitting) & fitting
        counts = {kind: sum(not forms & left.get(kind, set()) for forms in each) for kind, each in refusing.items()}
        return {kind: count for kind, count in counts.items() if count}

    @property
    def in_process(self) -> bool:
        """Whether the implementation shared the judge's process: then nothing is sure."""
        return bool(self.report.header["implementation"].get("in_process"))

    @property
    def share(self) -> str:
        """Which share of a run this is; empty for a whole one."""
        return " and ".join(f"{index}/{count}" for index, count in self.report.header["selection"].get("shares") or ())

    @property
    def quick(self) -> bool:
        """Whether only the few checks of a quick run were run: that is no conformance run, however it ends."""
        return bool(self.report.header["selection"].get("quick"))

    @property
    def code(self) -> ExitCode:
        if self.report.harness_errors:
            return ExitCode.HARNESS_BROKEN
        if self.musts.failed > self.known:
            return ExitCode.DOES_NOT_CONFORM
        if not self.report.complete:
            return ExitCode.HARNESS_BROKEN
        if self.share or (self.quick and self.musts.passed):
            return ExitCode.CONFORMS
        return ExitCode.UNDECIDED if self.open else ExitCode.CONFORMS

    @property
    def open(self) -> bool:
        """Whether something keeps the report from deciding: a must, its way of running, or that there was nothing, be
        it of one type."""
        undecided = self.musts.undecided > self.accepted or self.in_process or not self.musts.passed
        return bool(undecided or self.refused)

    @property
    def good(self) -> bool:
        return self.words in ("conforms", "conforms in what was selected")

    @property
    def words(self) -> str:
        """The conclusion in a few words."""
        if self.report.harness_errors:
            return "the suite itself broke: this run says nothing"
        if self.report.stopped_after:
            return f"does not conform: stopped after {self.report.stopped_after} failing case(s)"
        if not self.report.complete:
            return "incomplete: the run was stopped before its end"
        if self.musts.failed:
            return "does not conform" + (", in ways that are known" if self.musts.failed <= self.known else "")
        if self.share:
            return f"share {self.share} of a run: no conclusion"
        if self.in_process:
            return "undecided: it ran in the judge's own process"
        if not self.musts.decided:
            return "undecided: nothing was judged"
        if self.quick:
            return "nothing broke in a quick run, which is no conformance run: no conclusion"
        if self.refused:
            count = sum(self.refused.values())
            kinds = _listed(list(self.refused))
            return f"undecided: {count} net(s) with {kinds} refused, as no form that its answers show"
        if self.musts.undecided:
            return "undecided" + (", in ways that are known" if self.musts.undecided <= self.accepted else "")
        return "conforms in what was selected" if self.selected else "conforms"

    @cached_property
    def selected(self) -> str:
        """What of the suite was chosen; empty where all of it was."""
        return self._chosen()

    def _chosen(self, but: str = "") -> str:
        chosen = self.report.header["selection"]
        named = {**(chosen.get("selection") or {}), "keyword": [chosen["keyword"]] if chosen.get("keyword") else []}
        words = {"profiles": "profile", "families": "family", "layers": "layer", "checks": "case"}
        words |= {"dtypes": "type", "keyword": "-k"}
        return "; ".join(
            f"{word} {_listed(named[name])}" for name, word in words.items() if named.get(name) and name != but
        )

    @cached_property
    def claim(self) -> str:
        """What was claimed: types, dialect, forms, selection."""
        header = self.report.header
        told = [" and ".join(map(str, header["dtypes"]))]
        told += [f"the {header['dialect']} dialect"] if header["dialect"] else []
        told += ["any form, as a case names it"] if header["implementation"].get("any_forms") else []
        told += [self._chosen(but="dtypes")] if self._chosen(but="dtypes") else []
        told += [f"{self.report.header['items']} quick checks"] if self.quick else []
        return one_line("; ".join(told), 200)

    @cached_property
    def numbers(self) -> str:
        """Musts passed of musts owed, then failures, what was not decided, what was declined and by how much."""
        musts = self.musts
        told = f"{musts.passed} of {musts.owed} musts passed, {musts.failed} failed"
        told += f" ({self.known} known)" if self.known else ""
        told += f", {musts.undecided} not decided" if musts.undecided else ""
        told += f" ({self.accepted} accepted)" if self.accepted else ""
        return told + (f", {musts.declined} declined ({self._limits()})" if self.declined else "")

    @cached_property
    def line(self) -> str:
        """The first line of the conclusion: who, the claim, what was concluded, the numbers and the limits."""
        return one_line(f"{implementation_of(self.report.header)}, {self.claim}: {self.words}; {self.numbers}", 600)

    @cached_property
    def rest(self) -> str:
        """What no conclusion depends on: recommendations, then what is not applicable."""
        should = self.recommendations
        told = []
        if should.owed:
            told.append(f"recommendations: {should.passed} followed, {should.failed} not followed")
            told[-1] += f", {should.owed - should.decided} open" if should.owed > should.decided else ""
        told += [f"{self.not_applicable} not applicable"] if self.not_applicable else []
        return "; ".join(told)

    def counts(self) -> dict[str, Any]:
        """The conclusion and its numbers, as the report's last line has them."""
        return {
            "words": self.words,
            "musts": self.musts.to_json(),
            "recommendations": self.recommendations.to_json(),
            "not_applicable": self.not_applicable,
            "declined": self.declined,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything that the formats show."""
        return {
            "implementation": implementation_of(self.report.header),
            "line": self.line,
            "exit": int(self.code),
            "claim": self.claim,
            "known": self.known,
            "accepted": self.accepted,
            **self.counts(),
            "undecided": [vars(each) for each in self.undecided],
        }

    def _limits(self) -> str:
        told = [f"{limit}: {count}" for limit, count in self.declined.items()]
        return ", ".join(told[:_DECLINED]) + (f" and {len(told) - _DECLINED} more" if len(told) > _DECLINED else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
