"""History: what several reports of one implementation say of it as time goes on, as text and as a page of HTML."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from conformance.contract.verdict import Status
from conformance.record.conclusion import Conclusion, Musts, implementation_of
from conformance.record.differences import differences_between
from conformance.record.report import Report, net_last
from conformance.views.html.environment import environment, source_hash
from conformance.views.text import headroom_told, printable

__all__ = ["Moment", "history_page", "history_text", "moments_of"]

_WIDTH, _HEIGHT = 640, 120
"""Of a drawing, in its own units."""

_HEAD = (
    "began",
    "implementation",
    "suite",
    "musts passed",
    "failed",
    "broke",
    "mended",
    "least headroom",
    "conclusion",
)


@dataclass(frozen=True)
class Moment:
    """One report: when it was begun, of what, and what it came to. ``rooms`` is the least headroom of what passed, by
    layer; ``broke`` and ``mended`` count what is otherwise than in the report before, and is the implementation's."""

    began: str
    name: str
    suite: str
    words: str
    good: bool
    musts: Musts
    layers: Mapping[str, Musts]
    rooms: Mapping[str, float]
    broke: int | None = None
    mended: int | None = None

    @property
    def room(self) -> float | None:
        return min(self.rooms.values(), default=None)

    @property
    def share(self) -> float:
        """Of the musts that are claimed, how many passed."""
        return self.musts.passed / self.musts.claimed if self.musts.claimed else 0.0


def moments_of(reports: Sequence[Report]) -> list[Moment]:
    """The reports in the order in which they were begun."""
    ordered = sorted(reports, key=lambda report: str(report.header["started"]))
    return [_moment(report, ordered[i - 1] if i else None) for i, report in enumerate(ordered)]


def _moment(report: Report, before: Report | None) -> Moment:
    found = Conclusion(report)
    members = defaultdict(list)
    for judged in report.judged:
        members[judged.stem].append(judged.verdict)
    passed = {
        stem: [v.headroom for v in verdicts if v.status is Status.PASSED and v.headroom is not None]
        for stem, verdicts in members.items()
    }
    changes = differences_between(before, report).changed if before is not None else None
    kinds = None if changes is None else [change.kind for change in changes if not change.by_suite]
    return Moment(
        printable(str(report.header["started"])[:16].replace("T", " "), 40),
        printable(implementation_of(report.header), 120),
        printable(report.suite, 40),
        printable(found.words, 200),
        found.good,
        found.musts,
        {stem: Musts.of(members[stem]) for stem in sorted(members, key=net_last)},
        {stem: min(rooms) for stem, rooms in passed.items() if rooms},
        None if kinds is None else kinds.count("broke"),
        None if kinds is None else kinds.count("mended"),
    )


def history_text(moments: Sequence[Moment]) -> Iterator[str]:
    """A line for each report, the columns aligned."""
    rows: list[tuple[str, ...]] = [_HEAD, *((*_cells(moment), moment.words) for moment in moments)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(moment: Moment) -> tuple[str, ...]:
    musts, room = moment.musts, moment.room
    counts = ("" if count is None else str(count) for count in (moment.broke, moment.mended))
    told = "" if room is None else headroom_told(room)
    return (moment.began, moment.name, moment.suite, _of(musts), str(musts.failed), *counts, told)


def _of(musts: Musts | None) -> str:
    """How many passed, of how many that are claimed."""
    if musts is None or not musts.claimed:
        return ""
    return str(musts.passed) if musts.passed == musts.claimed else f"{musts.passed} of {musts.claimed}"


def history_page(moments: Sequence[Moment]) -> str:
    """The same as HTML, with a drawing of the musts passed and one of the least headroom; nothing is fetched or run."""
    css = (files("conformance.views.html") / "page.css").read_text("utf-8")
    pages = environment("conformance.views")
    pages.filters |= {"of": _of, "headroom": headroom_told}
    shares = [moment.share for moment in moments]
    lowest = min(shares)
    return pages.get_template("history.html.j2").render(
        moments=moments,
        cells=_cells,
        stems=sorted({stem for moment in moments for stem in moment.layers}, key=net_last),
        css=css,
        hash=source_hash(css),
        lowest=f"{100 * lowest:.3g} %",
        passed=_drawn([(share - lowest) / (1 - lowest) if lowest < 1 else 1.0 for share in shares]),
        rooms=_drawn([_height(moment.room) for moment in moments]),
        size=(_WIDTH, _HEIGHT),
    )


def _height(room: float | None) -> float | None:
    """A headroom as a share of the drawing's height: doubling is a sixteenth, as far as that goes."""
    return None if room is None else min(1.0, max(0.0, math.log2(max(room, 1.0)) / 16))


def _drawn(heights: Sequence[float | None]) -> list[tuple[float, float] | None]:
    """Places in a drawing, from left to right; None where there is nothing to draw."""
    step = (_WIDTH - 20) / max(1, len(heights) - 1)
    places = enumerate(heights)
    top = _HEIGHT - 20
    return [None if h is None else (round(10 + i * step, 1), round(10 + (1 - h) * top, 1)) for i, h in places]
