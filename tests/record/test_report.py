"""report.jsonl: what is written can be read back, torn or hostile as it may be, and shown."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from conformance.contract.errors import UsageError
from conformance.contract.verdict import Element, Level, Status, Verdict
from conformance.record.reader import read_report, verdict_from_json
from conformance.record.report import Judged, Report
from conformance.record.writer import ReportWriter, verdict_to_json
from conformance.views.terminal import render
from tests.reports import HEADER, report_of

FOOTER = {"kind": "footer", "verdicts": 1, "counts": {}, "harness_errors": 0, "seconds": 1.0, "exit": 0}
PASSED = Verdict("a/b", "net.split", "float32", Status.PASSED)

numbers = st.floats(allow_nan=False)
verdicts = st.builds(
    Verdict,
    check=st.text(min_size=1),
    requirement=st.text(min_size=1),
    dtype=st.sampled_from(["float32", "float64"]),
    status=st.sampled_from(Status),
    level=st.sampled_from(Level),
    side=st.none() | st.text(),
    headroom=st.none() | numbers,
    reason=st.text(),
    layer=st.none() | st.text(),
    element=st.none()
    | st.builds(Element, st.text(), st.lists(st.integers(0, 9)).map(tuple), numbers, numbers, numbers),
    seconds=st.none() | st.integers(0, 10**6).map(lambda n: n / 64),
)


@given(verdicts)
def test_a_verdict_survives_its_line(verdict: Verdict) -> None:
    line = json.dumps(verdict_to_json(Judged("golden", "net", verdict)), allow_nan=False)
    assert "\n" not in line
    assert verdict_from_json(json.loads(line)) == verdict


def test_a_nan_survives_its_line() -> None:
    verdict = Verdict("a", "b", "float32", Status.FAILED, element=Element("x", (1,), math.nan, -math.inf, 0.0))
    element = verdict_from_json(json.loads(json.dumps(verdict_to_json(Judged("f", "s", verdict))))).element
    assert element is not None
    assert math.isnan(element.got)
    assert element.want == -math.inf


@pytest.mark.parametrize(
    "hostile",
    [
        math.nan,
        {"deep": [math.inf, {1: -math.inf}]},
        object(),
        b"bytes",
        "\udc80\ud83d lone surrogates",
        "x" * 10_000_000,
    ],
)
def test_any_detail_can_be_written_and_read_back(tmp_path: Path, hostile: object) -> None:
    verdict = Verdict("a", "b", "float32", Status.FAILED, reason=str(hostile), detail={"stderr": hostile})
    path = written(tmp_path / "report.jsonl", HEADER, verdict_to_json(Judged("f", "s", verdict)))
    assert path.stat().st_size < 100_000
    (judged,) = read_report(path).judged
    assert judged.verdict.status is Status.FAILED
    assert judged.verdict.reason[:9_000] == str(hostile)[:9_000]


def written(path: Path, *lines: Any, end: str = "") -> Path:
    with ReportWriter(path) as writer:
        for line in lines:
            writer.write(line)
    with path.open("a") as file:
        file.write(end)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.jsonl"


LINE = verdict_to_json(Judged("golden", "net", PASSED))


def test_a_report_is_read_back(path: Path) -> None:
    whole = report_of(Judged("golden", "net", PASSED))
    report = read_report(written(path, whole.header, LINE, whole.ended[0], whole.footer))
    assert (report.judged, report.complete) == ((Judged("golden", "net", PASSED),), True)


@pytest.mark.parametrize("length", range(1, len(json.dumps(LINE)), 17))
def test_a_torn_last_line_is_passed_over(path: Path, length: int) -> None:
    report = read_report(written(path, HEADER, LINE, end=json.dumps(LINE)[:length]))
    assert (len(report.judged), report.complete) == (1, False)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "no header"),
        ([LINE], "line 1"),
        ([HEADER, HEADER], "line 2"),
        ([{**HEADER, "schema": 9}], "schema is 9"),
        ([HEADER, {"kind": "poem"}], "'poem'"),
        ([HEADER, {**LINE, "status": "fine"}], "fine"),
        ([HEADER, [1, 2]], "line 2"),
        ([HEADER, {**LINE, "element": {"blob": "x"}}], "line 2"),
    ],
)
def test_what_is_no_report_is_refused_with_its_line(path: Path, lines: list[Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_report(written(path, *lines, end="\n"))
    assert says in str(raised.value)


def test_a_line_is_on_disk_before_the_next_one_is_written(path: Path) -> None:
    with ReportWriter(path) as writer:
        for count in (1, 2, 3):
            writer.write(HEADER if count == 1 else LINE)
            assert path.read_text().count("\n") == count


def shown(report: Report, width: int = 120) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=width), "report.jsonl")
    return out.getvalue()


def failure(check: str, reason: str, **fields: Any) -> Judged:
    return Judged(
        "golden", "hinge_loss", Verdict(check, "hinge_loss.backward", "float32", Status.FAILED, reason=reason, **fields)
    )


def test_failures_are_grouped_by_cause() -> None:
    told = [failure(f"hinge_loss/{i}", f"bottom gradient x[{i}, 0]: got {i / 7}, want {i / 3}") for i in range(9)]
    text = shown(Report(HEADER, (*told, failure("hinge_loss/a", "a shape differs")), (), FOOTER))
    assert "9 x hinge_loss.backward  failed" in text
    assert "1 x hinge_loss.backward  failed" in text
    assert text.count("first at") == 2


def test_the_grid_counts_what_was_decided() -> None:
    judged = (
        Judged("golden", "net", PASSED),
        failure("a", "wrong"),
        Judged("golden", "net", Verdict("a/c", "net.split", "float32", Status.INCONCLUSIVE)),
    )
    text = shown(Report(HEADER, judged, (), FOOTER))
    assert re.search(r"^net +1 \+1$", text, re.MULTILINE)
    assert re.search(r"^hinge_loss +0/1$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [60, 80, 130])
def test_the_grid_fits_the_terminal_and_cuts_no_word(width: int) -> None:
    families = ("golden", "gradients", "loss_weight", "multi_top", "contract", "refusals", "properties")
    judged = tuple(
        Judged(family, stem, PASSED)
        for family in families
        for stem in ("sigmoid_cross_entropy_loss", "hinge_loss", "net")
    )
    grid, _, _ = shown(Report(HEADER, judged, (), FOOTER), width).partition("\n\n")
    lines = grid.splitlines()
    assert all(len(line) <= width for line in lines)
    heads = " ".join(line.removeprefix("musts passed") for line in lines if line.startswith("musts passed"))
    assert heads.split() == " ".join(families).replace("_", " ").split()
    assert sum(line.count(" 1") for line in lines if line.startswith("sigmoid_cross_entropy_loss")) == len(families)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(HEADER, (Judged("golden", "net", PASSED),)), "incomplete"),
        (
            Report(HEADER, (Judged("golden", "net", PASSED),), ({"item": "a", "message": "b"},), FOOTER),
            "suite itself broke",
        ),
        (Report(HEADER, (), (), FOOTER), "nothing was judged"),
        (Report(HEADER, (Judged("golden", "net", PASSED),), (), FOOTER), "conforms"),
    ],
)
def test_the_conclusion_says_what_the_run_shows(report: Report, words: str) -> None:
    assert words in shown(report)


def test_an_implementations_text_is_shown_as_text() -> None:
    hostile = "[bold red]spoof[/] [link=file:///etc/passwd]x[/link] \x1b[2J\x07\r\n\u202e" + "y" * 10_000_000
    detail = {"stderr": hostile}
    text = shown(Report(HEADER, (failure("a", hostile, layer=hostile, detail=detail),), (), FOOTER))
    assert "[bold red]spoof[/]" in text
    assert not set("\x1b\x07\r\u202e") & set(text)
    assert len(text) < 10_000
