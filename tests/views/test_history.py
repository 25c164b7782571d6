"""A history says of every report what it came to, in the order of time, and what became otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from conformance.contract.verdict import Status
from conformance.record.report import Report
from conformance.views.history import history_page, history_text, moments_of
from tests.command_line import lossconf_in
from tests.reports import failed, hostile_report, passed, report_of, saved, verdict


@pytest.fixture
def reports() -> list[Report]:
    """January, February and March, not in this order."""
    return [
        report_of(
            passed("h/1"), passed("h/2", headroom=3.0), passed("h/3", headroom=1.5), started="2030-03-01T01:00:00"
        ),
        report_of(passed("h/1"), failed("h/2"), failed("h/3"), started="2030-01-01T01:00:00"),
        report_of(failed("h/1"), passed("h/2", headroom=float("inf")), failed("h/3"), started="2030-02-01T01:00:00"),
    ]


def test_reports_stand_in_the_order_of_time_with_what_changed(reports: list[Report]) -> None:
    moments = moments_of(reports)
    assert [moment.began[:7] for moment in moments] == ["2030-01", "2030-02", "2030-03"]
    assert [moment.musts.passed for moment in moments] == [1, 1, 3]
    assert [(moment.broke, moment.mended) for moment in moments] == [(None, None), (1, 1), (0, 2)]
    assert [moment.room for moment in moments] == [8.0, float("inf"), 1.5]


def test_a_line_says_the_numbers_of_a_report(reports: list[Report]) -> None:
    head, *lines = [re.split(r"\s{2,}", line) for line in history_text(moments_of(reports))]
    assert head == [
        "began", "implementation", "suite", "musts passed", "failed", "broke", "mended", "least headroom", "conclusion"
    ]  # fmt: skip
    assert lines[1] == ["2030-02-01 01:00", "mine 1.2", "2", "1 of 3", "2", "1", "1", "exact", "does not conform"]
    assert lines[2] == ["2030-03-01 01:00", "mine 1.2", "2", "3", "0", "0", "2", "1.5", "conforms"]


def points(page: str) -> Iterator[list[tuple[float, float]]]:
    for drawn in re.findall(r'points="([^"]*)"', page):
        yield [(float(x), float(y)) for x, y in (place.split(",") for place in drawn.split())]


def test_the_page_draws_a_point_for_each_report_the_better_the_higher(reports: list[Report]) -> None:
    page = history_page(moments_of(reports))
    shares, rooms = points(page)
    assert [x for x, _ in shares] == sorted(x for x, _ in shares) and len(shares) == len(rooms) == 3
    assert shares[0][1] == shares[1][1] > shares[2][1]
    assert rooms[1][1] < rooms[0][1] < rooms[2][1]
    assert page.count("<title>2030-") == 6
    assert "1 of 3" in page and "<small>exact</small>" in page


def test_what_passed_nothing_has_no_headroom_and_no_point() -> None:
    undecided = report_of(verdict("h/1", Status.UNSUPPORTED, reason="no HingeLoss"))
    (moment,) = moments_of([undecided])
    assert moment.room is None
    assert [len(drawn) for drawn in points(history_page([moment]))] == [1, 0]


def test_an_implementation_puts_no_markup_into_the_page() -> None:
    page = history_page(moments_of([hostile_report(), hostile_report()]))
    assert "<script" not in page and "\x1b" not in page and "default-src 'none'" in page
    assert "<script>alert(1)" in unescape(page)
    assert len(page) < 200_000


def test_the_command_prints_and_writes_and_overwrites_no_report(
    reports: list[Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossconf = lossconf_in(tmp_path, monkeypatch, capsys)
    for i, report in enumerate(reports):
        saved(tmp_path / f"{i}.jsonl", report)
    told = lossconf("history", "0.jsonl", "1.jsonl", "2.jsonl", "--html", "history.html")
    assert (told.code, told.out.count("\n")) == (0, 4)
    assert (tmp_path / "history.html").read_text("utf-8").startswith("<!doctype html>")
    ended = lossconf("history", "0.jsonl", "1.jsonl", "--html", "0.jsonl")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert lossconf("history", "absent.jsonl").code == 2
