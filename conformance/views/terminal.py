"""The terminal's view of a report: who was judged, a grid of layers and families, failures by cause, the conclusion."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.contract.errors import one_line
from conformance.contract.exit_codes import ExitCode
from conformance.diagnosis.diagnosis import diagnosis_of
from conformance.record.cause import Cause
from conformance.record.conclusion import Conclusion, Musts, implementation_of, is_must
from conformance.record.devices import device_of
from conformance.record.readings import Reading, readings_of
from conformance.record.report import Judged, Report
from conformance.views.advice import meaning_of, next_steps
from conformance.views.console import PlainConsole
from conformance.views.forms import forms_told
from conformance.views.summary import Grid, concluded, dialect_of, reasons, suite_errors
from conformance.views.words import beside_told

__all__ = ["output", "render"]

_SHOWN = 12
"""Groups of failures that are printed; the rest are counted."""

_Case = tuple[str, str]
"""A failing case: its check and its dtype."""

_BESIDE = "in cases that break musts, too"
"""What is told of a recommendation that a case breaks beside musts: it may well hold once they do."""

_LOG_WIDTH = 130
"""Columns where standard output is no terminal."""

_GAP = 2

_CORNER = "musts passed"

_READINGS = 8
"""Readings that are printed, the largest."""

_NAMED = 4
"""Requirements of a group that are named with their counts."""

_QUOTED = 3
"""Lines of an implementation's own output that are quoted with a failure."""

_NUMBER = re.compile(r"[-+]?\b\d+(\.\d+)?([eE][-+]?\d+)?\b|\b(nan|inf)\b|\[[^]]*\]|\([^)]*\)")


def output() -> Console:
    """Standard output; where that is no terminal, wide enough for the grid."""
    console = PlainConsole()
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = _LOG_WIDTH
    return console


def render(report: Report, console: Console, path: str) -> None:
    """Print a report; ``path`` is where it can be read again."""
    console.print(_heading(report))
    if report.judged:
        console.print(_grid(report.judged, console.width))
    for told in forms_told(report):
        console.print(Text(one_line(told)), soft_wrap=True)
    musts = [each for each in report.judged if each.verdict.status.breaks and is_must(each.verdict)]
    shoulds = [each for each in report.judged if each.verdict.status.breaks and not is_must(each.verdict)]
    diagnosis = diagnosis_of(report)
    beside = diagnosis.beside()
    if musts:
        console.print(_failures("Failures", "red", musts, _titles(diagnosis.by_case()), beside))
    if shoulds:
        recommended = _titles(diagnosis.by_recommended_case()) | {_case(each): _BESIDE for each in musts}
        console.print(_failures("Recommendations not followed", "yellow", shoulds, recommended, beside))
    for error in suite_errors(report)[:_SHOWN]:
        console.print(Text(error, style="bold red"))
    if readings := readings_of(report):
        console.print(_readings(readings))
    found = concluded(report)
    if found.undecided:
        console.print(_undecided(found))
    console.print(_conclusion(found, path), soft_wrap=True)
    failing = (musts or shoulds)[0].verdict.item if musts or shoulds else ""
    console.print(_next(list(next_steps(found, path, failing))), soft_wrap=True)


def _heading(report: Report) -> Text:
    header = report.header
    implementation = header["implementation"]
    language = f" ({implementation['language']})" if implementation["language"] else ""
    drawn = f"; {header['explore']} x the generated cases, from seed {header['seed']}" if header.get("seed") else ""
    drawn += f"; fresh values, from seed {header['fresh']}" if header.get("fresh") else ""
    device = "" if (named := device_of(header)) == "cpu" else f" on {named}"
    asked = f"  {', '.join(header['dtypes'])}{device}; {dialect_of(report)}; suite {one_line(report.suite)}{drawn}"
    return Text(one_line(implementation_of(header) + language), style="bold").append(asked, style="not bold")


def _grid(judged: Sequence[Judged], width: int) -> RenderableType:
    """Layers by families; several tables one under the other where the families do not fit side by side."""
    grid = Grid.of(judged)
    stems, families = grid.stems, grid.families
    cells = {(stem, family): _cell(grid.cell(stem, family)) for stem in stems for family in families}
    heads = {family: family.replace("_", " ") for family in families}
    widths = {f: _GAP + max(len(heads[f]), *(len(cells[stem, f]) for stem in stems)) for f in families}
    first = max(len(_CORNER), *(len(stem) for stem in stems))
    parts: list[RenderableType] = []
    for row in _rows(widths, width - first):
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 0, 0, _GAP))
        table.add_column(_CORNER, min_width=first)
        for family in row:
            table.add_column(heads[family], justify="right", no_wrap=True)
        for stem in stems:
            table.add_row(stem, *(cells[stem, family] for family in row))
        parts.append(table)
    if grid.silent:
        parts.append(Text(f"nothing claimed: {', '.join(grid.silent)}", style="dim"))
    if any(musts.undecided for musts in grid.cells.values()):
        parts.append(Text("+N: owed, claimed and not decided", style="dim"))
    return Group(*parts)


def _rows(widths: Mapping[str, int], space: int) -> list[list[str]]:
    """The families in rows that fit ``space``, at least one in each."""
    rows: list[list[str]] = [[]]
    for family in widths:
        if rows[-1] and sum(widths[f] for f in (*rows[-1], family)) > space:
            rows.append([])
        rows[-1].append(family)
    return rows


def _cell(musts: Musts | None) -> Text:
    """How many passed, of how many where some failed; then how many were not decided."""
    if musts is None:
        return Text("-", style="dim")
    style = "red" if musts.failed else "green" if musts.passed else "dim"
    text = Text(f"{musts.passed}/{musts.decided}" if musts.failed else f"{musts.passed}", style=style)
    return text.append(f" +{musts.undecided}", style="yellow") if musts.undecided else text


def _readings(readings: Sequence[Reading]) -> RenderableType:
    """Errors over the best that the types allow, the largest first; no judgement."""
    text = Text("\nErrors over those of the exact result, rounded once (read, not judged)", style="bold")
    for each in readings[:_READINGS]:
        text.append(f"\n  {one_line(each.name)} ({each.dtype})", style="not bold")
        text.append(f"  {one_line(each.words)}", style="dim default")
    if len(readings) > _READINGS:
        text.append(f"\n  and {len(readings) - _READINGS} more, none larger", style="not bold dim")
    return text


def _undecided(found: Conclusion) -> RenderableType:
    """Why what is owed and claimed was not decided, and what can be done about it."""
    groups = list(reasons(found.undecided))
    text = Text("\nNot decided", style="bold yellow")
    for count, why, told in groups[:_SHOWN]:
        text.append(f"\n  {count} x ", style="not bold yellow").append(one_line(why), style="bold default")
        text.append(f"\n      {one_line(told)}", style="not bold default")
    if len(groups) > _SHOWN:
        hidden = sum(count for count, _, _ in groups[_SHOWN:])
        text.append(f"\n  and {hidden} more, for {len(groups) - _SHOWN} reasons", style="not bold dim")
    hint = "what is not claimed can be stated before a run (--declines), or accepted ([[declined]] in a baseline)"
    return text.append(f"\n  {hint}", style="not bold dim default")


@dataclass(frozen=True)
class _Kind:
    """Failures of one likely cause; without one, those that read the same but for names, places and numbers, whichever
    requirements they break."""

    title: str
    status: str = ""


def _titles(causes: Mapping[_Case, Cause]) -> dict[_Case, str]:
    return {case: cause.sentence for case, cause in causes.items()}


def _case(each: Judged) -> _Case:
    return each.verdict.check, each.verdict.dtype


def _failures(
    title: str, style: str, failures: Iterable[Judged], titles: Mapping[_Case, str], beside: Collection[_Case]
) -> RenderableType:
    groups: dict[_Kind, list[Judged]] = defaultdict(list)
    for each in failures:
        groups[_kind(each, titles)].append(each)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines: list[RenderableType] = [Text(f"\n{title}", style=f"bold {style}")]
    lines += [_group(kind, members, style, beside) for kind, members in ranked[:_SHOWN]]
    if len(ranked) > _SHOWN:
        hidden = sum(len(members) for _, members in ranked[_SHOWN:])
        lines.append(Text(f"and {hidden} more, of {len(ranked) - _SHOWN} kinds", style="dim"))
    return Group(*lines)


def _kind(each: Judged, titles: Mapping[_Case, str]) -> _Kind:
    if title := titles.get(_case(each)):
        return _Kind(title)
    return _Kind(_NUMBER.sub("#", one_line(each.verdict.reason)), each.verdict.status.value)


def _group(kind: _Kind, members: Sequence[Judged], style: str, beside: Collection[_Case]) -> Text:
    others = {_case(each) for each in members if _case(each) in beside}
    first = next((each for each in members if _case(each) not in others), members[0]).verdict
    where = f"{one_line(first.check)} ({first.dtype})" + (f", layer {one_line(first.layer)}" if first.layer else "")
    told = _requirements(members)
    text = Text(f"  {len(members)} x ", style=style)
    text.append(f"{told}  {kind.status}" if kind.status else one_line(kind.title), style="bold")
    text.append("" if kind.status else f"\n      {told}", style="not bold default")
    text.append(f"\n      {one_line(first.reason)}", style="not bold default")
    text.append(f"\n      first at {where}", style="dim default")
    if others and not kind.status:
        text.append(f"\n      also {beside_told(len(others))}", style="dim default")
    output = str(first.detail.get("stderr", "")).strip().splitlines()
    for line in output[-_QUOTED:]:
        text.append(f"\n      | {one_line(line, 160)}", style="dim default")
    return text


def _requirements(members: Sequence[Judged]) -> str:
    """What the members break, most broken first, counted where that is more than one thing."""
    counts = Counter(one_line(member.verdict.requirement) for member in members).most_common()
    if len(counts) == 1:
        return counts[0][0]
    told = ", ".join(f"{name} {count}" for name, count in counts[:_NAMED])
    return f"{told} and {len(counts) - _NAMED} more" if len(counts) > _NAMED else told


def _conclusion(found: Conclusion, path: str) -> RenderableType:
    report = found.report
    style = "bold green" if found.good else "bold yellow" if found.code is ExitCode.UNDECIDED else "bold red"
    text = Text("\n").append(found.line, style=style)
    rest = [*([found.rest] if found.rest else []), *([f"{report.footer['seconds']:.1f} s"] if report.footer else [])]
    text.append(f"\n{'; '.join(rest)}" if rest else "")
    meaning = meaning_of(found)
    text.append(f"\nthat is: {meaning}" if meaning else "")
    text.append(f"\nreport: {path}", style="dim")
    return text if report.complete else text.append("; the same command with --resume goes on from it", style="dim")


def _next(steps: Sequence[tuple[str, str]]) -> Text:
    """What to do next, a command to a line; what each gives stands beside it, where the commands are no longer than
    a line may be."""
    width = min(max((len(command) for command, _ in steps), default=0), _LOG_WIDTH // 2)
    lines = [f"{command:<{width}}  {gives}" for command, gives in steps]
    return Text("next: " + "\n      ".join(lines), style="dim")
