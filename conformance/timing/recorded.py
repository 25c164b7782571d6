"""Recorded: a gate against times that were measured before, on this machine.

What is past cannot be interleaved with, so the machine itself is compared first: where a plain copy, or any other
subject that is in both results, takes another time than it did, times of then and now say nothing about the code.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.contract.errors import UsageError
from conformance.timing.gate import NEW, NOT_MEASURED, Finding, Limits, verdict_on
from conformance.timing.measure import COPY
from conformance.timing.result import Measured, Result
from conformance.timing.statistics import median_interval, summary

__all__ = ["DRIFT", "against_result", "check_comparable"]

DRIFT = 1.1
"""How many times as long as before the machine's own copy may take, or the other way round."""


def check_comparable(then: Result, now: Result) -> None:
    """Raise `UsageError` unless both results come from the same processor and the same number of threads."""
    if then.machine.hardware != now.machine.hardware:
        was, here = (f"{m.cpu} with {m.cores} core(s)" for m in (then.machine, now.machine))
        raise UsageError(f"the result to compare with is of another machine: {was}; this is {here}")
    if then.threads != now.threads:
        raise UsageError(f"the result to compare with used {then.threads} thread(s), this run {now.threads}")
    if then.specs[:1] != now.specs[:1]:
        raise UsageError(f"the result to compare with is of {then.specs[0]}, this run of {now.specs[0]}")


def against_result(then: Result, now: Result, limits: Limits) -> list[Finding]:
    """A finding for each problem and mode of ``now``."""
    check_comparable(then, now)
    spec = now.specs[0]
    findings = []
    for measured in now.measured:
        before = then.find(measured.problem)
        for mode in measured.modes():
            findings.append(_finding(before, measured, mode, spec, limits))
    return findings


def _finding(then: Measured | None, now: Measured, mode: str, spec: str, limits: Limits) -> Finding:
    if then is None or not then.of(spec, mode):
        return Finding(now.problem, mode, NEW, reason="not in the result to compare with")
    if not now.of(spec, mode):
        return Finding(now.problem, mode, NOT_MEASURED, reason=now.not_timed.get(spec, "no times"))
    before, after = then.of(spec, mode), now.of(spec, mode)
    interval = _ratio_interval(before, after, limits.doubt)
    ratio = summary(after).median / summary(before).median
    times = summary(before).median, summary(after).median, ratio, interval
    drift = _drift(then.of(COPY, mode), now.of(COPY, mode))
    if not 1 / DRIFT < drift < DRIFT:
        reason = f"the machine itself differs: a plain copy takes {drift:.2f} times as long as it did"
        return Finding(now.problem, mode, NOT_MEASURED, *times, reason)
    verdict, reason = verdict_on(ratio, interval, times[0], limits)
    return Finding(now.problem, mode, verdict, *times, reason)


def _ratio_interval(before: Sequence[float], after: Sequence[float], doubt: float) -> tuple[float, float]:
    """Where the ratio of the medians lies; the two samples were drawn apart."""
    (low, high), (least, most) = median_interval(before, doubt / 2), median_interval(after, doubt / 2)
    if not 0 < low <= high < float("inf"):
        return float("-inf"), float("inf")
    return least / high, most / low


def _drift(then: Sequence[float], now: Sequence[float]) -> float:
    return summary(now).median / summary(then).median if then and now else float("nan")
