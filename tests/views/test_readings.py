"""What reports say of errors over the best: sorted, in every format, and no part of the conclusion."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from conformance.contract.verdict import Status, Verdict
from conformance.record.reader import read_report
from conformance.record.readings import readings_of
from conformance.record.report import Judged, Report
from conformance.record.writer import write_report
from conformance.views.html import html_page
from conformance.views.markdown import markdown_page
from conformance.views.terminal import render
from tests.reports import HEADER

TYPES = "bfloat16, loss float32 (computed float32)"


def judged(about: str, check: str, best: float | None, dtype: str = TYPES) -> Judged:
    return Judged("golden", "hinge_loss", Verdict(check, f"hinge_loss.{about}", dtype, Status.PASSED, best=best))


REPORT = Report(
    HEADER,
    (
        judged("forward", "a", 1.0),
        judged("backward", "a", 2.0),
        judged("backward", "b", 38.2),
        judged("backward", "c", 1.5),
        judged("norm", "c", 99.0),
        judged("forward", "d", None, "float32"),
    ),
)


def test_readings_are_sorted_and_come_from_what_is_about_one_array() -> None:
    first, second = readings_of(REPORT)
    assert (first.name, first.dtype, first.count) == ("hinge_loss gradient", TYPES, 3)
    assert (first.middle, first.largest, first.check) == (2.0, 38.2, "b")
    assert second.name == "hinge_loss loss"


def test_every_format_has_them(tmp_path: Path) -> None:
    write_report(tmp_path / "r.jsonl", REPORT)
    report = read_report(tmp_path / "r.jsonl")
    out = io.StringIO()
    render(report, Console(file=out, width=160), "r.jsonl")
    assert f"hinge_loss gradient ({TYPES})  38.2 x the best at b, 2 in the middle of 3" in out.getvalue()
    assert f"| hinge_loss gradient | {TYPES} | 2 | 38.2 | 3 | b |" in markdown_page(report).replace("\\", "")
    assert '<td class="num">38.2</td>' in html_page(report)


def test_a_report_in_caffes_types_has_none() -> None:
    bare = Report(HEADER, (judged("forward", "d", None, "float32"),))
    assert not readings_of(bare)
    assert "Over the best" not in markdown_page(bare) + html_page(bare)
