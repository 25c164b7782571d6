"""Gate: may this report pass? What is new, what is gone, what did not run."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.contract.errors import one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Status, Verdict
from conformance.contract.version import is_news
from conformance.gate.baseline import Baseline, Known, KnownDeclined
from conformance.gate.lock import Lock, decided
from conformance.record.conclusion import Conclusion, is_must
from conformance.record.report import Report

__all__ = ["Decision", "Objection", "broken", "decision_on", "is_partial", "is_silent_on", "open_musts"]

Index = dict[tuple[str, str], list[Known]]
"""What is known, by check and requirement."""

_ORDER = (
    ExitCode.HARNESS_BROKEN,
    ExitCode.DOES_NOT_CONFORM,
    ExitCode.UNDECIDED,
    ExitCode.FEWER_CHECKS_THAN_LOCK,
    ExitCode.STALE_BASELINE,
)
"""Of several objections, the first of these decides the exit code."""


@dataclass(frozen=True)
class Objection:
    """One reason why a report may not pass: a kind in a word or two, one line, and the exit code it asks for."""

    kind: str
    sentence: str
    code: ExitCode


@dataclass(frozen=True)
class Decision:
    """``known`` failures were expected, ``accepted`` musts need not be decided; ``news`` is what broke or was not
    decided of musts newer than the suite version that is pinned; ``notes`` are worth saying and stop nobody."""

    objections: tuple[Objection, ...]
    known: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    accepted: tuple[Verdict, ...] = ()
    news: tuple[Verdict, ...] = ()

    @property
    def code(self) -> ExitCode:
        codes = {objection.code for objection in self.objections}
        return next((code for code in _ORDER if code in codes), ExitCode.CONFORMS)


def decision_on(
    report: Report,
    baseline: Baseline | None,
    lock: Lock | None,
    today: datetime.date | None = None,
    fresh: bool = False,
) -> Decision:
    """Hold a report against a baseline and a lock, strictly and both ways.

    The suite version that is pinned is the baseline's, else the lock's. With ``fresh``, a report on published values
    does not pass. One on fresh values has its known failures by requirement and in whichever check, and none of them
    is stale but by its date: other values may hide what is wrong.
    """
    baseline, today = baseline or Baseline(), today or datetime.date.today()
    dtypes, devices = report.header["dtypes"], report.header["implementation"].get("devices", [])
    applying = [known for known in baseline.known if known.applies(dtypes, devices)]
    declined = [each for each in baseline.declined if each.applies(dtypes, devices)]
    anew = bool(report.header.get("fresh"))
    if anew:
        applying = [replace(known, checks=_failing(report, known.requirement)) for known in applying]
    index: Index = defaultdict(list)
    for known in applying:
        for check in known.checks:
            index[check, known.requirement].append(known)
    pinned = baseline.suite or (lock.suite if lock else "")
    news = tuple(_news(report, pinned)) if pinned else ()
    new = set(map(id, news))
    failures = [verdict for verdict in broken(report) if id(verdict) not in new]
    covered = tuple(v for v in failures if any(known.covers(v) for known in index[v.check, v.requirement]))
    undecided = [verdict for verdict in open_musts(report) if id(verdict) not in new]
    accepted = tuple(v for v in undecided if any(each.is_about(v.requirement, v.dtype) for each in declined))
    expected = set(map(id, accepted))
    objections = [
        *_silent(report),
        *([_NOT_FRESH] if fresh and not anew else ()),
        *_new(failures, index),
        *_undecided(verdict for verdict in undecided if id(verdict) not in expected),
        *_stale(report, applying, today),
        *_stale_declined(report, declined, undecided, today),
        *(_fewer(report, lock) if lock else ()),
    ]
    return Decision(tuple(objections), covered, tuple(_notes(report, lock, pinned, news)), accepted, news)


_NOT_FRESH = Objection(
    "not fresh",
    "the values are the published ones, whose answers can be remembered: run with --fresh",
    ExitCode.UNDECIDED,
)


def _failing(report: Report, requirement: str) -> tuple[str, ...]:
    """The checks that fail a requirement."""
    return tuple(dict.fromkeys(verdict.check for verdict in broken(report) if verdict.requirement == requirement))


def broken(report: Report) -> Iterator[Verdict]:
    """The verdicts that make a report non-conforming."""
    for judged in report.judged:
        verdict = judged.verdict
        if verdict.status.breaks and is_must(verdict) and not verdict.limit:
            yield verdict


def open_musts(report: Report) -> Iterator[Verdict]:
    """The musts, owed and claimed, that were not decided."""
    for judged in report.judged:
        verdict = judged.verdict
        if is_must(verdict) and not verdict.limit and not verdict.status.decides:
            yield verdict


def _news(report: Report, pinned: str) -> Iterator[Verdict]:
    """What is not as it should be of musts that are newer than a suite version."""
    for judged in report.judged:
        verdict = judged.verdict
        bad = is_must(verdict) and not verdict.limit and verdict.status is not Status.PASSED
        if bad and is_news(judged.since, pinned):
            yield verdict


def is_partial(report: Report) -> bool:
    """Whether a run was about a part of the suite only, or has not ended."""
    chosen = report.header["selection"]
    return bool(report.selected or chosen.get("shares") or chosen.get("quick")) or not report.complete


def is_silent_on(report: Report, known: Known, check: str) -> bool:
    """Whether a run of a part of the suite did not come to a check, in each of the types that an entry speaks of."""
    dtypes = [known.dtype] if known.dtype else report.header["dtypes"]
    return is_partial(report) and not all((check, dtype) in report.ran for dtype in dtypes)


def _silent(report: Report) -> Iterator[Objection]:
    if report.harness_errors:
        first = report.harness_errors[0]
        sentence = one_line(f"the suite itself broke in {first['item']}: {first['message']}")
        yield Objection("suite broken", sentence, ExitCode.HARNESS_BROKEN)
    if report.stopped_after:
        sentence = f"the run ended after {report.stopped_after} failing case(s); `lossconf run --resume` goes on"
        yield Objection("incomplete", sentence, ExitCode.DOES_NOT_CONFORM)
    elif not report.complete:
        sentence = "the run was stopped before its end; `lossconf run --resume` goes on from it"
        yield Objection("incomplete", sentence, ExitCode.HARNESS_BROKEN)
    concluded = Conclusion(report)
    if concluded.share:
        sentence = f"this is share {concluded.share} of a run: `lossconf merge` joins them, and a gate takes them all"
        yield Objection("a share", sentence, ExitCode.UNDECIDED)
    if concluded.quick:
        sentence = "this is a quick run, which is no conformance run: run without --quick"
        yield Objection("a quick run", sentence, ExitCode.UNDECIDED)
    if concluded.in_process:
        sentence = "the implementation shared the judge's process (--in-process): nothing it answered is sure"
        yield Objection("in the judge's process", sentence, ExitCode.UNDECIDED)
    if not concluded.musts.passed:
        yield Objection("nothing passed", "no must has passed: this shows nothing", ExitCode.UNDECIDED)


def _undecided(verdicts: Iterable[Verdict]) -> Iterator[Objection]:
    """What is open and nobody has accepted, by requirement, type and reason."""
    groups = Counter((v.requirement, v.dtype, v.status.value, v.reason) for v in verdicts)
    for (requirement, dtype, status, reason), count in groups.most_common():
        sentence = f"{requirement} in {dtype}: {count} must(s) {status}: {reason}"
        yield Objection("not decided", one_line(sentence), ExitCode.UNDECIDED)


def _new(failures: Sequence[Verdict], index: Index) -> Iterator[Objection]:
    for verdict in failures:
        same = index[verdict.check, verdict.requirement]
        if any(known.covers(verdict) for known in same):
            continue
        other = next((known for known in same if known.is_about(verdict)), None)
        was = f", known as {other.status}" if other else ""
        sentence = f"{_named(verdict)} {verdict.status.value}{was}: {verdict.reason}"
        yield Objection("new failure", one_line(sentence), ExitCode.DOES_NOT_CONFORM)


def _stale(report: Report, applying: Sequence[Known], today: datetime.date) -> Iterator[Objection]:
    verdicts: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for judged in report.judged:
        verdicts[judged.verdict.check, judged.verdict.requirement].append(judged.verdict)
    for known in applying:
        if known.expires and known.expires < today:
            sentence = f"{known.requirement}, {len(known.checks)} check(s), expired on {known.expires}: {known.reason}"
            yield Objection("expired", one_line(sentence), ExitCode.STALE_BASELINE)
        for check in () if report.header.get("fresh") else known.checks:
            about = [v for v in verdicts[check, known.requirement] if known.is_about(v)]
            if not about and not is_silent_on(report, known, check):
                sentence = f"{check} {known.requirement}: no such verdict in the report"
                yield Objection("matches nothing", one_line(sentence), ExitCode.STALE_BASELINE)
            for verdict in about:
                if not verdict.status.breaks:
                    kind = "unexpected pass" if verdict.status is Status.PASSED else "fails no more"
                    sentence = f"{_named(verdict)} is {verdict.status.value} and known as {known.status}"
                    yield Objection(kind, one_line(sentence), ExitCode.STALE_BASELINE)


def _stale_declined(
    report: Report, declined: Iterable[KnownDeclined], undecided: Iterable[Verdict], today: datetime.date
) -> Iterator[Objection]:
    """Entries that have expired, and those of which everything is decided, or outside of what is claimed."""
    still = {(verdict.requirement, verdict.dtype) for verdict in undecided}
    judged = {(each.verdict.requirement, each.verdict.dtype) for each in report.judged}
    for each in declined:
        told = f"{each.requirement}{f' in {each.dtype}' if each.dtype else ''}"
        if each.expires and each.expires < today:
            sentence = f"{told}, declined, expired on {each.expires}: {each.reason}"
            yield Objection("expired", one_line(sentence), ExitCode.STALE_BASELINE)
        seen = any(each.is_about(*key) for key in judged)
        if not any(each.is_about(*key) for key in still) and (seen or not is_partial(report)):
            yield Objection(
                "declined no more", one_line(f"{told}: nothing of it is left open"), ExitCode.STALE_BASELINE
            )


def _fewer(report: Report, lock: Lock) -> Iterator[Objection]:
    ran = decided(report)
    for name, locked in lock.counts.items():
        count = 1 if report.header.get("fresh") else locked
        if ran[name] < count:
            sentence = f"{name} has {ran[name]} decided verdict(s), {count} are locked"
            yield Objection("fewer checks", one_line(sentence), ExitCode.FEWER_CHECKS_THAN_LOCK)


def _notes(report: Report, lock: Lock | None, pinned: str, news: Sequence[Verdict]) -> Iterator[str]:
    if news:
        failed = sum(verdict.status.breaks for verdict in news)
        told = f"{failed} failed, {len(news) - failed} not decided"
        first = f"{_named(news[0])} is the first"
        yield one_line(f"newer than the pinned suite {pinned}, and advisory until it is pinned anew: {told}; {first}")
    if lock is not None and lock.selected and lock.selected != report.selected:
        told = "; ".join(f"{name} {_words(value)}" for name, value in lock.selected.items())
        yield one_line(f"the lock is of a part of the suite ({told}): it holds no other check")
    more = len(decided(report).keys() - lock.counts.keys()) if lock is not None else 0
    if lock is not None and (more or report.suite != lock.suite):
        suite = f"; it is of suite {lock.suite}, the report of {report.suite}" if report.suite != lock.suite else ""
        yield one_line(f"{more} check(s) are not in the lock{suite}: `lossconf baseline lock` takes them in")


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _named(verdict: Verdict) -> str:
    return f"{verdict.item} {verdict.requirement}"
