"""Gate: may this report pass? What is new, what is gone, what did not run."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.contract.errors import one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Level, Status, Verdict
from conformance.gate.baseline import Baseline, Known
from conformance.gate.lock import Lock, decided
from conformance.record.report import Report

__all__ = ["Decision", "Objection", "broken", "is_partial", "decision_on"]

Index = dict[tuple[str, str], list[Known]]
"""What is known, by check and requirement."""

_ORDER = (
    ExitCode.HARNESS_BROKEN,
    ExitCode.DOES_NOT_CONFORM,
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
    """``known`` failures were expected; ``notes`` are worth saying and stop nobody."""

    objections: tuple[Objection, ...]
    known: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def code(self) -> ExitCode:
        codes = {objection.code for objection in self.objections}
        return next((code for code in _ORDER if code in codes), ExitCode.CONFORMS)


def decision_on(
    report: Report, baseline: Baseline | None, lock: Lock | None, today: datetime.date | None = None
) -> Decision:
    """Hold a report against a baseline and a lock, strictly and both ways."""
    baseline, today = baseline or Baseline(), today or datetime.date.today()
    dtypes, devices = report.header["dtypes"], report.header["implementation"].get("devices", [])
    applying = [known for known in baseline.known if known.applies(dtypes, devices)]
    index: Index = defaultdict(list)
    for known in applying:
        for check in known.checks:
            index[check, known.requirement].append(known)
    failures = list(broken(report))
    covered = tuple(v for v in failures if any(known.covers(v) for known in index[v.check, v.requirement]))
    objections = [
        *_silent(report),
        *_new(failures, index),
        *(_stale(report, applying, today)),
        *(_fewer(report, lock) if lock else ()),
    ]
    return Decision(tuple(objections), covered, tuple(_notes(report, lock)))


def broken(report: Report) -> Iterator[Verdict]:
    """The verdicts that make a report non-conforming."""
    for judged in report.judged:
        if judged.verdict.status.breaks and judged.verdict.level is not Level.SHOULD:
            yield judged.verdict


def is_partial(report: Report) -> bool:
    """Whether a run was about a part of the suite only, or has not ended."""
    chosen = report.header.get("selection", {})
    named = any(chosen.get("selection", {}).values()) or chosen.get("keyword") or chosen.get("shares")
    return bool(named) or not report.complete


def _silent(report: Report) -> Iterator[Objection]:
    if report.harness_errors:
        first = report.harness_errors[0]
        sentence = one_line(f"the suite itself broke in {first['item']}: {first['message']}")
        yield Objection("suite broken", sentence, ExitCode.HARNESS_BROKEN)
    if not report.complete:
        sentence = "the run was stopped before its end; `lossconf run --resume` goes on from it"
        yield Objection("incomplete", sentence, ExitCode.HARNESS_BROKEN)
    if not any(judged.verdict.status is Status.PASSED for judged in report.judged):
        yield Objection("nothing passed", "no check has passed: this shows nothing", ExitCode.DOES_NOT_CONFORM)


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
        for check in known.checks:
            about = [v for v in verdicts[check, known.requirement] if known.is_about(v)]
            if not about and not is_partial(report):
                sentence = f"{check} {known.requirement}: no such verdict in the report"
                yield Objection("matches nothing", one_line(sentence), ExitCode.STALE_BASELINE)
            for verdict in about:
                if not verdict.status.breaks:
                    kind = "unexpected pass" if verdict.status is Status.PASSED else "fails no more"
                    sentence = f"{_named(verdict)} is {verdict.status.value} and known as {known.status}"
                    yield Objection(kind, one_line(sentence), ExitCode.STALE_BASELINE)


def _fewer(report: Report, lock: Lock) -> Iterator[Objection]:
    ran = decided(report)
    for name, count in lock.counts.items():
        if ran[name] < count:
            sentence = f"{name} has {ran[name]} decided verdict(s), {count} are locked"
            yield Objection("fewer checks", one_line(sentence), ExitCode.FEWER_CHECKS_THAN_LOCK)


def _notes(report: Report, lock: Lock | None) -> Iterator[str]:
    if lock is None:
        return
    more = len(decided(report).keys() - lock.counts.keys())
    version = report.header["suite"]["version"]
    if more or version != lock.suite:
        suite = f"; it is of suite {lock.suite}, the report of {version}" if version != lock.suite else ""
        yield one_line(f"{more} check(s) are not in the lock{suite}: `lossconf baseline lock` takes them in")


def _named(verdict: Verdict) -> str:
    return f"{verdict.item} {verdict.requirement}"
