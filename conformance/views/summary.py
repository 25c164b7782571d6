"""Summary: what a report comes to, in the words and numbers that every format uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.contract.verdict import Level, Status
from conformance.gate import Baseline, decision_on
from conformance.record.report import Judged, Report

__all__ = ["STOPPED", "Summary", "decided_stems", "dialect_of", "implementation_of", "suite_errors"]

STOPPED = "the run was stopped before its end"


@dataclass(frozen=True)
class Summary:
    """``decided`` verdicts passed or broke; ``failed`` ones break conformance, ``known`` of them are in the baseline.

    ``ignored`` broke a recommendation only. ``conclusion`` is one sentence, ``good`` whether it is a good one.
    """

    passed: int
    failed: int
    known: int
    ignored: int
    undecided: int
    conclusion: str
    good: bool

    @property
    def decided(self) -> int:
        return self.passed + self.failed

    @classmethod
    def of(cls, report: Report, baseline: Baseline | None = None) -> Summary:
        verdicts = [judged.verdict for judged in report.judged]
        broken = Counter(v.level is Level.SHOULD for v in verdicts if v.status.breaks)
        passed = sum(v.status is Status.PASSED for v in verdicts)
        known = len(decision_on(report, baseline, None).known)
        failed, ignored = broken[False], broken[True]
        words, good = _conclusion(report, passed, failed, known)
        return cls(passed, failed, known, ignored, len(verdicts) - passed - failed - ignored, words, good)

    def counted(self) -> str:
        """Never a bare percentage: "412 of 418, 6 known"."""
        known = f", {self.known} known" if self.known else ""
        return f"{self.passed} of {self.decided}{known}"


def _conclusion(report: Report, passed: int, failed: int, known: int) -> tuple[str, bool]:
    if report.footer is None:
        return f"incomplete: {STOPPED}", False
    if report.harness_errors:
        return "the suite itself broke: this run says nothing", False
    if failed > known:
        return "does not conform", False
    if not passed:
        return "nothing was judged: this shows nothing", False
    return ("does not conform, in ways that are known" if known else "conforms"), not known


def decided_stems(judged: Sequence[Judged]) -> tuple[list[str], list[str]]:
    """The layers of which anything was decided, the net last, and the others; all of them where nothing was at all."""
    stems = sorted({each.stem for each in judged}, key=lambda stem: (stem == "net", stem))
    decided = {each.stem for each in judged if each.verdict.status.decides} or set(stems)
    return [stem for stem in stems if stem in decided], [stem for stem in stems if stem not in decided]


def implementation_of(report: Report) -> str:
    """Name and version of who was judged."""
    named = report.header["implementation"]
    return " ".join(str(word) for word in (named["name"], named["version"]) if word)


def dialect_of(report: Report) -> str:
    """What was asked for where Caffe departs from its documentation."""
    dialect = report.header["dialect"]
    return f"the {dialect} dialect" if dialect else "either side of every quirk"


def suite_errors(report: Report) -> list[str]:
    """What went wrong in the suite itself, a sentence each."""
    return [f"suite error in {error['item']}: {error['message']}" for error in report.harness_errors]
