"""Page: everything about a report in one file that a browser opens from a disk."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from conformance.diagnosis.diagnosis import Group, diagnosis_of
from conformance.gate import Baseline, decision_on
from conformance.record.conclusion import Musts, implementation_of
from conformance.record.readings import readings_of
from conformance.record.report import Report
from conformance.views.forms import forms_told
from conformance.views.html.details import MOST, details_of
from conformance.views.html.environment import environment, source_hash
from conformance.views.html.rows import STATES, Words, rows_of
from conformance.views.html.strips import strips_of
from conformance.views.summary import Grid, concluded, dialect_of, reasons, suite_errors
from conformance.views.text import headroom_told, printable
from conformance.views.words import FAMILIES, WORDS, beside_told

__all__ = ["html_page"]

_SLOWEST = 12


def html_page(report: Report, baseline: Baseline | None = None) -> str:
    """The report as HTML. Nothing of the implementation's is more than text; nothing is fetched from anywhere."""
    known = {(v.check, v.dtype, v.requirement) for v in decision_on(report, baseline, None).known}
    diagnosed = diagnosis_of(report)
    diagnosis = (*diagnosed.failures, *diagnosed.recommendations)
    words, name = Words(), implementation_of(report.header)
    rows = rows_of(report, words, known, diagnosed.by_case())
    details = details_of(diagnosis)
    found = concluded(report, baseline)
    data = {"words": words.to_json(), "states": STATES, "rows": rows}
    sources = {part: (files("conformance.views.html") / part).read_text("utf-8") for part in ("page.css", "page.js")}
    pages = environment("conformance.views.html")
    pages.filters |= {"printable": printable, "headroom": headroom_told, "numbers": _numbers}
    return pages.get_template("page.html.j2").render(
        report=report,
        name=name,
        dialect=dialect_of(report),
        errors=suite_errors(report),
        found=found,
        undecided=list(reasons(found.undecided)),
        grid=_grid(report),
        readings=readings_of(report),
        causes=_causes(diagnosed.failures),
        recommendations=_causes(diagnosed.recommendations),
        strips=strips_of(report),
        fingerprint=_fingerprint(report),
        forms=list(forms_told(report)),
        slowest=_slowest(report),
        environment=_environment(report),
        shown=len(details),
        kept=sum(len(group.cases) for group in diagnosis),
        most=MOST,
        glossary=WORDS,
        families=FAMILIES,
        data=_json(data),
        details=_json(details),
        css=sources["page.css"],
        js=sources["page.js"],
        hashes={part: source_hash(text) for part, text in sources.items()},
    )


def _numbers(text: str) -> list[str]:
    """A text in parts; those at odd places are numbers that a browser would break behind a hyphen, such as 1e-07."""
    return re.split(r"(\d[\d.]*e-\d+)", text)


def _json(value: Any) -> str:
    """JSON that can stand in a script element: no "<" is left in it that could end one."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@dataclass(frozen=True)
class _Cell:
    musts: Musts
    state: str


@dataclass(frozen=True)
class _Table:
    families: Sequence[str]
    rows: Sequence[tuple[str, Sequence[_Cell | None]]]
    silent: Sequence[str]


def _grid(report: Report) -> _Table:
    """Layers by families, in musts. Of ``silent`` layers nothing was claimed."""
    grid = Grid.of(report.judged)
    rows = [(stem, [_cell(grid.cell(stem, family)) for family in grid.families]) for stem in grid.stems]
    return _Table(grid.families, rows, grid.silent)


def _cell(musts: Musts | None) -> _Cell | None:
    if musts is None:
        return None
    return _Cell(musts, "failed" if musts.failed else "undecided" if musts.undecided else "passed")


def _causes(diagnosis: Sequence[Group]) -> list[tuple[str, int, str, str]]:
    """Sentence, number of cases, the first case, and what of others, of every cause; the largest first."""
    told = []
    for group in diagnosis:
        first, others = group.explained[0], len(group.beside)
        also = f"also {beside_told(others)}" if others else ""
        told.append((group.cause.sentence, len(group.cases), f"{first.check}[{first.dtype}]", also))
    return sorted(told, key=lambda each: -each[1])


def _fingerprint(report: Report) -> list[tuple[str, str]]:
    """Every quirk that a net of its own was run for, and the side that was taken."""
    sides: dict[str, set[str]] = defaultdict(set)
    for judged in report.judged:
        verdict = judged.verdict
        if judged.family == "quirks" and verdict.requirement.startswith("quirk."):
            side = "neither" if verdict.status.breaks else verdict.side or verdict.status.value
            sides[verdict.requirement.removeprefix("quirk.")].add(side)
    return [(quirk, " or ".join(sorted(found))) for quirk, found in sorted(sides.items())]


def _slowest(report: Report) -> list[tuple[str, float]]:
    timed = [(str(end["item"]), float(end.get("seconds", 0.0))) for end in report.ended]
    return sorted(timed, key=lambda each: -each[1])[:_SLOWEST]


def _environment(report: Report) -> list[tuple[str, str]]:
    """What the header says, flattened."""
    header = report.header
    flat = [(f"implementation: {key}", value) for key, value in header["implementation"].items()]
    flat += [(f"machine: {key}", value) for key, value in header["machine"].items()]
    program = f"{header['suite']['name']} {header['suite']['version']}"
    flat += [("suite", report.suite), ("program", program), ("started", header["started"])]
    flat += [("dialect asked for", dialect_of(report))]
    return [(printable(key, 200), _told(value)) for key, value in flat if value not in ("", None, [], {})]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return printable(", ".join(f"{key} {each}" for key, each in value.items()), 1000)
    return printable(", ".join(map(str, value)) if isinstance(value, list) else value, 1000)
