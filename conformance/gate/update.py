"""Update: a baseline that fits a report: what fails is in it, what fails no more is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from conformance.contract.errors import one_line
from conformance.contract.verdict import Verdict
from conformance.diagnosis.diagnosis import causes_of
from conformance.gate.baseline import Baseline, Known, KnownDeclined
from conformance.gate.gate import broken, is_partial, is_silent_on, open_musts
from conformance.record.report import Report

__all__ = ["UNEXPLAINED", "updated"]

UNEXPLAINED = "not looked at yet"
"""What the reason of an entry starts with until somebody writes a better one."""


def updated(baseline: Baseline, report: Report, this_device: bool = False, pin: bool = False) -> Baseline:
    """The baseline with the report's new failures and what it left open, without what the report shows to be gone.

    What the report is silent on (another device, another part of the suite) stays as it is; a check that ran and says
    nothing more of its requirement is gone, and so is one that a whole run does not have. Reasons, issues and days of
    expiry are kept. With ``this_device`` new entries are about the report's first device only; with ``pin`` the
    report's suite version is pinned.
    """
    dtypes, devices = report.header["dtypes"], report.header["implementation"].get("devices", [])
    judged = {(each.verdict.check, each.verdict.requirement) for each in report.judged}
    failures = list(broken(report))
    kept: list[Known] = []
    for known in baseline.known:
        if not known.applies(dtypes, devices):
            kept.append(known)
            continue
        failing = {v.check for v in failures if known.covers(v)}
        unseen = {c for c in known.checks if (c, known.requirement) not in judged and is_silent_on(report, known, c)}
        checks = tuple(c for c in known.checks if c in failing or c in unseen)
        if checks:
            kept.append(replace(known, checks=checks))
    new = [v for v in failures if not any(known.covers(v) for known in kept if known.applies(dtypes, devices))]
    device = devices[0] if this_device and devices else ""
    return replace(
        baseline,
        known=(*kept, *_entries(new, report, device)),
        declined=tuple(_declined(baseline, report, device)),
        suite=report.suite if pin else baseline.suite,
    )


def _declined(baseline: Baseline, report: Report, device: str) -> Iterator[KnownDeclined]:
    """The entries that still have something to accept, and new ones for what else is open."""
    dtypes, devices = report.header["dtypes"], report.header["implementation"].get("devices", [])
    reasons = {(v.requirement, v.dtype): f"{v.status.value}: {v.reason}" for v in open_musts(report)}
    judged = {(each.verdict.requirement, each.verdict.dtype) for each in report.judged}
    applying = [each for each in baseline.declined if each.applies(dtypes, devices)]
    for each in baseline.declined:
        unseen = is_partial(report) and not any(each.is_about(*key) for key in judged)
        if each not in applying or unseen or any(each.is_about(*key) for key in reasons):
            yield each
    new: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (requirement, dtype), reason in reasons.items():
        if not any(each.is_about(requirement, dtype) for each in applying):
            new[requirement, one_line(f"{UNEXPLAINED}: {reason}")].add(dtype)
    for (requirement, why), found in new.items():
        for dtype in [""] if len(found) > 1 else sorted(found):
            yield KnownDeclined(why, requirement, dtype, device)


def _entries(failures: list[Verdict], report: Report, device: str) -> list[Known]:
    """Entries for new failures: one for those of the same requirement, status and cause in the same types."""
    causes = causes_of(report)
    dtypes: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for v in failures:
        cause = causes.get((v.check, v.dtype))
        why = f"{UNEXPLAINED}: {cause.sentence}" if cause else UNEXPLAINED
        dtypes[v.requirement, v.status.value, why, v.check].add(v.dtype)
    grouped: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for (requirement, status, why, check), found in dtypes.items():
        grouped[requirement, status, why, next(iter(found)) if len(found) == 1 else ""].append(check)
    return [
        Known(why, requirement, tuple(checks), status, dtype, device)
        for (requirement, status, why, dtype), checks in grouped.items()
    ]
