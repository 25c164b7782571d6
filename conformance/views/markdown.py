"""Markdown: a report as the summary of a CI step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from conformance.contract.verdict import Verdict
from conformance.diagnosis.diagnosis import Diagnosis, diagnosis_of
from conformance.gate import Baseline, decision_on
from conformance.gate.gate import broken
from conformance.record.conclusion import Conclusion, Musts, implementation_of
from conformance.record.readings import readings_of
from conformance.record.report import Report
from conformance.views.summary import Grid, concluded, dialect_of, reasons, suite_errors
from conformance.views.text import markdown
from conformance.views.words import beside_told

__all__ = ["markdown_page"]

_SHOWN = 20
"""Groups of failures that are listed; the rest are counted."""


def markdown_page(report: Report, baseline: Baseline | None = None) -> str:
    """The conclusion, what was not decided and why, layers and families as a grid, failures new and known."""
    return "".join(f"{line}\n" for line in _lines(report, baseline))


def _lines(report: Report, baseline: Baseline | None) -> Iterator[str]:
    found = concluded(report, baseline)
    header = report.header
    yield f"## {markdown(implementation_of(header))}: {markdown(found.words)}"
    yield ""
    yield f"{markdown(found.claim)}: {markdown(found.numbers, 600)}."
    yield ""
    told = [dialect_of(report), f"suite {markdown(report.suite)}", *([markdown(found.rest)] if found.rest else [])]
    yield f"{'; '.join(told)}."
    yield ""
    yield from _undecided(found)
    yield from _grid(report)
    yield from _readings(report)
    known = decision_on(report, baseline, None).known
    covered = set(map(id, known))
    new = [verdict for verdict in broken(report) if id(verdict) not in covered]
    if new:
        yield from _failures(new, diagnosis_of(report))
    if baseline and known:
        yield from _known(known, baseline)
    yield from (f"- {markdown(error, 600)}" for error in suite_errors(report)[:_SHOWN])


def _undecided(found: Conclusion) -> Iterator[str]:
    groups = list(reasons(found.undecided))
    if not groups:
        return
    yield "### Not decided"
    yield ""
    yield "Owed and claimed, and neither passed nor failed: no pass."
    yield ""
    yield from (f"- **{count} x {markdown(why)}** ({markdown(told)})" for count, why, told in groups[:_SHOWN])
    if len(groups) > _SHOWN:
        yield f"- and {sum(count for count, _, _ in groups[_SHOWN:])} more, for {len(groups) - _SHOWN} reasons"
    yield ""


def _grid(report: Report) -> Iterator[str]:
    grid = Grid.of(report.judged)
    if not grid.families:
        return
    yield f"| musts passed | {' | '.join(markdown(family) for family in grid.families)} |"
    yield f"|---|{'---:|' * len(grid.families)}"
    for stem in grid.stems:
        yield f"| {markdown(stem)} | {' | '.join(_cell(grid.cell(stem, family)) for family in grid.families)} |"
    yield ""
    if grid.silent:
        yield f"Nothing claimed: {', '.join(map(markdown, grid.silent))}."
        yield ""


def _readings(report: Report) -> Iterator[str]:
    readings = readings_of(report)
    if not readings:
        return
    yield "### Over the best"
    yield ""
    yield "Errors, root mean square, over those of the exact result rounded once to the type stored. Read, not judged."
    yield ""
    yield "| array | types | middle | largest | of | largest at |"
    yield "|---|---|---:|---:|---:|---|"
    for each in readings[:_SHOWN]:
        numbers = f"{each.middle:.2g} | {each.largest:.3g} | {each.count}"
        yield f"| {markdown(each.name)} | {markdown(each.dtype)} | {numbers} | {markdown(each.check)} |"
    if len(readings) > _SHOWN:
        yield ""
        yield f"and {len(readings) - _SHOWN} more, none larger"
    yield ""


def _cell(musts: Musts | None) -> str:
    if musts is None:
        return ""
    if musts.passed == musts.claimed:
        return str(musts.passed)
    return f"**{musts.passed} of {musts.claimed}**" if musts.failed else f"{musts.passed} of {musts.claimed}"


def _known(failures: Sequence[Verdict], baseline: Baseline) -> Iterator[str]:
    """What is known to fail, by the reasons and issues that the baseline has for it."""
    groups: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for verdict in failures:
        entry = baseline.entry_of(verdict)
        groups[entry.reason, entry.issue].append(verdict)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    yield "### Known failures"
    yield ""
    for (reason, issue), members in ranked[:_SHOWN]:
        told = [_counted(members), *([markdown(issue)] if issue else [])]
        yield f"- {len(members)} x {markdown(reason)} ({'; '.join(told)})"
    if len(ranked) > _SHOWN:
        yield f"- and {sum(len(m) for _, m in ranked[_SHOWN:])} more, for {len(ranked) - _SHOWN} reasons"
    yield ""


def _counted(failures: Sequence[Verdict]) -> str:
    """The requirements that most of them are about."""
    counts = Counter(verdict.requirement for verdict in failures).most_common(3)
    return ", ".join(f"{markdown(name)} {count}" for name, count in counts)


def _failures(failures: list[Verdict], diagnosis: Diagnosis) -> Iterator[str]:
    causes, beside = diagnosis.by_case(), diagnosis.beside()
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in failures:
        cause = causes.get((verdict.check, verdict.dtype))
        groups[cause.sentence if cause else f"{verdict.requirement} {verdict.status.value}"].append(verdict)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    yield "### New failures, by likely cause"
    yield ""
    for title, members in ranked[:_SHOWN]:
        others = {(v.check, v.dtype) for v in members} & beside
        first = next((v for v in members if (v.check, v.dtype) not in others), members[0])
        yield f"- **{len(members)} x {markdown(title)}** ({_counted(members)})  "
        yield f"  first: {markdown(first.check)} in {markdown(first.dtype)}: {markdown(first.reason)}"
        if others:
            yield f"  also {beside_told(len(others))}"
    if len(ranked) > _SHOWN:
        yield f"- and {sum(len(m) for _, m in ranked[_SHOWN:])} more, of {len(ranked) - _SHOWN} kinds"
    yield ""
