"""The terminal's view of a report: who was judged, a grid of layers and families, failures by cause, the conclusion."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.contract.errors import one_line
from conformance.contract.verdict import Level, Status, Verdict
from conformance.diagnosis.diagnosis import diagnosis_of
from conformance.record.cause import Cause
from conformance.record.report import Judged, Report
from conformance.views.summary import Summary, decided_stems, dialect_of, implementation_of, suite_errors

__all__ = ["output", "render"]

_SHOWN = 12
"""Groups of failures that are printed; the rest are counted."""

Causes = Mapping[tuple[str, str], Cause]
"""The likeliest cause of a failing case, by check and dtype."""

_LOG_WIDTH = 130
"""Columns where standard output is no terminal."""

_GAP = 2

_NAMED = 4
"""Requirements of a group that are named with their counts."""

_QUOTED = 3
"""Lines of an implementation's own output that are quoted with a failure."""

_MEASURED = re.compile(r"(?P<what>.+?) [^ \[]+(\[[^]]*\])*: got .* want .*")
_NUMBER = re.compile(r"[-+]?\b\d+(\.\d+)?([eE][-+]?\d+)?\b|\b(nan|inf)\b|\[[^]]*\]|\([^)]*\)")


def output() -> Console:
    """Standard output; where that is no terminal, wide enough for the grid."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_WIDTH
    return console


def render(report: Report, console: Console, path: str) -> None:
    """Print a report; ``path`` is where it can be read again."""
    console.print(_heading(report))
    if report.judged:
        console.print(_grid(report.judged, console.width))
    musts = [
        judged for judged in report.judged if judged.verdict.status.breaks and judged.verdict.level is not Level.SHOULD
    ]
    shoulds = [
        judged for judged in report.judged if judged.verdict.status.breaks and judged.verdict.level is Level.SHOULD
    ]
    diagnosis = diagnosis_of(report)
    if musts:
        console.print(_failures("Failures", "red", musts, diagnosis.by_case()))
    if shoulds:
        console.print(_failures("Recommendations not followed", "yellow", shoulds, diagnosis.by_recommended_case()))
    for error in suite_errors(report)[:_SHOWN]:
        console.print(Text(error, style="bold red"))
    console.print(_conclusion(report, path))
    if musts or shoulds:
        first = (musts or shoulds)[0].verdict
        hint = f"why: lossconf explain {shlex.quote(path)} {shlex.quote(first.item)}"
        console.print(Text(one_line(hint), style="dim"), soft_wrap=True)


def _heading(report: Report) -> Text:
    header = report.header
    implementation = header["implementation"]
    language = f" ({implementation['language']})" if implementation["language"] else ""
    drawn = f"; {header['explore']} x the generated cases, from seed {header['seed']}" if header.get("seed") else ""
    asked = f"  {', '.join(header['dtypes'])}; {dialect_of(report)}; {len(report.judged)} verdicts{drawn}"
    return Text(one_line(implementation_of(report) + language), style="bold").append(asked, style="not bold")


def _grid(judged: Sequence[Judged], width: int) -> RenderableType:
    """Layers by families; several tables one under the other where the families do not fit side by side."""
    families = list(dict.fromkeys(each.family for each in judged))
    stems, silent = decided_stems(judged)
    members: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for each in judged:
        members[each.stem, each.family].append(each)
    cells = {(stem, family): _cell(members[stem, family]) for stem in stems for family in families}
    heads = {family: family.replace("_", " ") for family in families}
    widths = {f: _GAP + max(len(heads[f]), *(len(cells[stem, f]) for stem in stems)) for f in families}
    first = max(len(stem) for stem in stems)
    parts: list[RenderableType] = []
    for row in _rows(widths, width - first):
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 0, 0, _GAP))
        table.add_column("passed", min_width=first)
        for family in row:
            table.add_column(heads[family], justify="right", no_wrap=True)
        for stem in stems:
            table.add_row(stem, *(cells[stem, family] for family in row))
        parts.append(table)
    if silent:
        parts.append(Text(f"nothing decided: {', '.join(silent)}", style="dim"))
    if any(_undecided(each) for each in judged):
        parts.append(Text("+N: not decided (inconclusive, not applicable, unsupported)", style="dim"))
    return Group(*parts)


def _rows(widths: Mapping[str, int], space: int) -> list[list[str]]:
    """The families in rows that fit ``space``, at least one in each."""
    rows: list[list[str]] = [[]]
    for family in widths:
        if rows[-1] and sum(widths[f] for f in (*rows[-1], family)) > space:
            rows.append([])
        rows[-1].append(family)
    return rows


def _cell(judged: Sequence[Judged]) -> Text:
    """How many passed, of how many where some did not; then how many were not decided."""
    if not judged:
        return Text("-", style="dim")
    passed = sum(each.verdict.status is Status.PASSED for each in judged)
    broken = [each for each in judged if each.verdict.status.breaks]
    failed = any(each.verdict.level is not Level.SHOULD for each in broken)
    style = "red" if failed else "yellow" if broken else "green" if passed else "dim"
    text = Text(f"{passed}/{passed + len(broken)}" if broken else f"{passed}", style=style)
    undecided = sum(map(_undecided, judged))
    return text.append(f" +{undecided}", style="dim") if undecided else text


def _undecided(judged: Judged) -> bool:
    return not judged.verdict.status.decides


@dataclass(frozen=True)
class _Kind:
    """Failures of one likely cause; without one, those that read the same but for names, places and numbers."""

    title: str
    status: str = ""
    reason: str = ""


def _failures(title: str, style: str, failures: Iterable[Judged], causes: Causes) -> RenderableType:
    groups: dict[_Kind, list[Judged]] = defaultdict(list)
    for each in failures:
        groups[_kind(each.verdict, causes)].append(each)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines: list[RenderableType] = [Text(f"\n{title}", style=f"bold {style}")]
    lines += [_group(kind, members, style) for kind, members in ranked[:_SHOWN]]
    if len(ranked) > _SHOWN:
        hidden = sum(len(members) for _, members in ranked[_SHOWN:])
        lines.append(Text(f"and {hidden} more, of {len(ranked) - _SHOWN} kinds", style="dim"))
    return Group(*lines)


def _kind(verdict: Verdict, causes: Causes) -> _Kind:
    cause = causes.get((verdict.check, verdict.dtype))
    if cause is not None and cause is not Cause.UNNAMEABLE:
        return _Kind(cause.sentence)
    measured = _MEASURED.fullmatch(one_line(verdict.reason))
    reason = measured["what"] if measured else _NUMBER.sub("#", one_line(verdict.reason))
    return _Kind(verdict.requirement, verdict.status.value, reason)


def _group(kind: _Kind, members: Sequence[Judged], style: str) -> Text:
    first = members[0].verdict
    where = f"{one_line(first.check)} ({first.dtype})" + (f", layer {one_line(first.layer)}" if first.layer else "")
    text = Text(f"  {len(members)} x ", style=style).append(one_line(kind.title), style="bold")
    text.append(f"  {kind.status}" if kind.status else "")
    if not kind.status:
        counts = Counter(member.verdict.requirement for member in members).most_common()
        told = ", ".join(f"{one_line(name)} {count}" for name, count in counts[:_NAMED])
        more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
        text.append(f"\n      {told}{more}", style="not bold default")
    text.append(f"\n      {one_line(first.reason)}", style="not bold default")
    text.append(f"\n      first at {where}", style="dim default")
    output = str(first.detail.get("stderr", "")).strip().splitlines()
    for line in output[-_QUOTED:]:
        text.append(f"\n      | {one_line(line, 160)}", style="dim default")
    return text


def _conclusion(report: Report, path: str) -> RenderableType:
    summary = Summary.of(report)
    counts = sorted(report.counts.items(), key=lambda item: -item[1])
    words = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts)
    seconds = f" in {report.footer['seconds']:.1f} s" if report.footer else ""
    style = "bold green" if summary.good else "bold red"
    text = Text("\n").append(summary.conclusion, style=style).append(f"  {words}{seconds}")
    text.append(f"\nreport: {path}", style="dim")
    return text if report.complete else text.append("; the same command with --resume goes on from it", style="dim")
