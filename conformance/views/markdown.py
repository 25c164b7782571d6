"""Markdown: a report as the summary of a CI step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from conformance.contract.verdict import Level, Status, Verdict
from conformance.diagnosis.diagnosis import causes_of
from conformance.gate import Baseline, decision_on
from conformance.gate.gate import broken
from conformance.record.cause import Cause
from conformance.record.report import Judged, Report
from conformance.views.summary import Summary, decided_stems, dialect_of, implementation_of, suite_errors
from conformance.views.text import markdown

__all__ = ["markdown_page"]

_SHOWN = 20
"""Groups of failures that are listed; the rest are counted."""


def markdown_page(report: Report, baseline: Baseline | None = None) -> str:
    """The conclusion, the grid of layers and families, and the failures that are not known, by likely cause."""
    return "".join(f"{line}\n" for line in _lines(report, baseline))


def _lines(report: Report, baseline: Baseline | None) -> Iterator[str]:
    summary = Summary.of(report, baseline)
    header = report.header
    yield f"## {markdown(implementation_of(report))}: {summary.conclusion}"
    yield ""
    told = [f"{summary.counted()} verdicts passed", markdown(", ".join(header["dtypes"])), dialect_of(report)]
    told += [f"{summary.ignored} recommendation(s) not followed"] if summary.ignored else []
    told += [f"{summary.undecided} not decided"] if summary.undecided else []
    yield f"{'; '.join(told)}; suite {markdown(header['suite']['version'])}."
    yield ""
    yield from _grid(report)
    known = {(v.check, v.dtype, v.requirement) for v in decision_on(report, baseline, None).known}
    new = [v for v in broken(report) if (v.check, v.dtype, v.requirement) not in known]
    if new:
        yield from _failures(new, causes_of(report))
    yield from (f"- {markdown(error, 600)}" for error in suite_errors(report)[:_SHOWN])


def _grid(report: Report) -> Iterator[str]:
    families = list(dict.fromkeys(judged.family for judged in report.judged))
    if not families:
        return
    cells: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for judged in report.judged:
        cells[judged.stem, judged.family].append(judged)
    yield f"| passed | {' | '.join(markdown(family) for family in families)} |"
    yield f"|---|{'---:|' * len(families)}"
    stems, silent = decided_stems(report.judged)
    for stem in stems:
        yield f"| {markdown(stem)} | {' | '.join(_cell(cells[stem, family]) for family in families)} |"
    yield ""
    if silent:
        yield f"Nothing decided: {', '.join(map(markdown, silent))}."
        yield ""


def _cell(judged: list[Judged]) -> str:
    if not judged:
        return ""
    passed = sum(each.verdict.status is Status.PASSED for each in judged)
    failed = sum(each.verdict.status.breaks and each.verdict.level is not Level.SHOULD for each in judged)
    return f"**{passed} of {passed + failed}**" if failed else str(passed)


def _failures(failures: list[Verdict], causes: dict[tuple[str, str], Cause]) -> Iterator[str]:
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in failures:
        cause = causes.get((verdict.check, verdict.dtype))
        groups[cause.sentence if cause else f"{verdict.requirement} {verdict.status.value}"].append(verdict)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    yield "### New failures, by likely cause"
    yield ""
    for title, members in ranked[:_SHOWN]:
        counts = Counter(v.requirement for v in members).most_common(3)
        first = members[0]
        yield f"- **{len(members)} x {markdown(title)}** ({', '.join(f'{markdown(n)} {c}' for n, c in counts)})  "
        yield f"  first: {markdown(first.check)} in {markdown(first.dtype)}: {markdown(first.reason)}"
    if len(ranked) > _SHOWN:
        yield f"- and {sum(len(m) for _, m in ranked[_SHOWN:])} more, of {len(ranked) - _SHOWN} kinds"
    yield ""
