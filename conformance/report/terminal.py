"""The terminal's view of a report: who was judged, a grid of layers and families, failures by cause, the conclusion."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.errors import one_line
from conformance.report.jsonl import Judged, Report
from conformance.verdict import Level, Status

__all__ = ["render"]

_SHOWN = 12
"""Groups of failures that are printed; the rest are counted."""

_NUMBER = re.compile(r"[-+]?\b\d+(\.\d+)?([eE][-+]?\d+)?\b|\b(nan|inf)\b")


def render(report: Report, console: Console, path: str) -> None:
    """Print a report; ``path`` is where it can be read again."""
    console.print(_heading(report))
    if report.judged:
        console.print(_grid(report.judged))
    musts = [
        judged for judged in report.judged if judged.verdict.status.breaks and judged.verdict.level is not Level.SHOULD
    ]
    shoulds = [
        judged for judged in report.judged if judged.verdict.status.breaks and judged.verdict.level is Level.SHOULD
    ]
    for title, style, failures in (("Failures", "red", musts), ("Recommendations not followed", "yellow", shoulds)):
        if failures:
            console.print(_failures(title, style, failures))
    for error in report.harness_errors[:_SHOWN]:
        console.print(Text(f"suite error in {error['item']}: {error['message']}", style="bold red"))
    console.print(_conclusion(report, len(musts), path))


def _heading(report: Report) -> Text:
    header = report.header
    implementation = header["implementation"]
    name = " ".join(word for word in (implementation["name"], implementation["version"]) if word)
    language = f" ({implementation['language']})" if implementation["language"] else ""
    dialect = f"the {header['dialect']} dialect" if header["dialect"] else "either side of every quirk"
    text = Text(one_line(name + language), style="bold")
    return text.append(f"  {', '.join(header['dtypes'])}; {dialect}; {len(report.judged)} verdicts", style="not bold")


def _grid(judged: Sequence[Judged]) -> Table:
    families = list(dict.fromkeys(each.family for each in judged))
    stems = sorted({each.stem for each in judged}, key=lambda stem: (stem == "net", stem))
    cells: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for each in judged:
        cells[each.stem, each.family].append(each)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for family in families:
        table.add_column(family, justify="right")
    for stem in stems:
        table.add_row(stem, *(_cell(cells[stem, family]) for family in families))
    return table


def _cell(judged: Sequence[Judged]) -> Text:
    """Passed of all, then what else there is: failures, recommendations not followed, what was not decided."""
    if not judged:
        return Text("-", style="dim")
    passed = sum(each.verdict.status is Status.PASSED for each in judged)
    broken = [each for each in judged if each.verdict.status.breaks]
    failed = sum(each.verdict.level is not Level.SHOULD for each in broken)
    decided = passed + len(broken)
    if not decided:
        return Text(f"0 of {len(judged)} decided", style="dim")
    text = Text(f"{passed}/{decided}", style="red" if failed else "yellow" if broken else "green")
    return text.append(f" {len(judged) - decided} open", style="dim") if len(judged) > decided else text


@dataclass(frozen=True)
class _Cause:
    """Failures that read the same once their numbers are left out."""

    requirement: str
    status: str
    reason: str


def _failures(title: str, style: str, failures: Iterable[Judged]) -> RenderableType:
    groups: dict[_Cause, list[Judged]] = defaultdict(list)
    for each in failures:
        verdict = each.verdict
        reason = _NUMBER.sub("#", one_line(verdict.reason))
        groups[_Cause(verdict.requirement, verdict.status.value, reason)].append(each)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines: list[RenderableType] = [Text(f"\n{title}", style=f"bold {style}")]
    lines += [_group(cause, members, style) for cause, members in ranked[:_SHOWN]]
    if len(ranked) > _SHOWN:
        hidden = sum(len(members) for _, members in ranked[_SHOWN:])
        lines.append(Text(f"and {hidden} more, of {len(ranked) - _SHOWN} kinds", style="dim"))
    return Group(*lines)


def _group(cause: _Cause, members: Sequence[Judged], style: str) -> RenderableType:
    first = members[0].verdict
    title = (
        Text(f"{len(members)} x ", style=style)
        .append(cause.requirement, style="bold")
        .append(f"  {cause.status}", style=style)
    )
    where = f"{first.check} ({first.dtype})" + (f", layer {one_line(first.layer)}" if first.layer else "")
    lines = [title, Text(f"    {one_line(first.reason)}"), Text(f"    first at {where}", style="dim")]
    output = str(first.detail.get("output", "")).strip().splitlines()
    lines += [Text(f"    | {one_line(line, 160)}", style="dim") for line in output[-3:]]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _conclusion(report: Report, failed: int, path: str) -> RenderableType:
    counts = report.counts
    if report.footer is None:
        words, style = "incomplete: the run was stopped before its end", "bold red"
    elif report.harness_errors:
        words, style = "the suite itself broke: this run says nothing", "bold red"
    elif failed:
        words, style = "does not conform", "bold red"
    elif not counts["passed"]:
        words, style = "nothing was judged: this shows nothing", "bold red"
    else:
        words, style = "conforms", "bold green"
    told = ", ".join(
        f"{count} {status.replace('_', ' ')}" for status, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    seconds = f" in {report.footer['seconds']:.1f} s" if report.footer else ""
    text = Text("\n").append(words, style=style).append(f"  {told}{seconds}")
    return text.append(f"\nreport: {path}", style="dim")
