"""Hostile text and hostile structure in whatever others write, through every channel that shows it."""

from __future__ import annotations

import io
import json
import math
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.gate import Baseline, Lock, decision_on
from conformance.gate.update import updated
from conformance.record.differences import differences_between
from conformance.record.merging import joined, matrix
from conformance.record.reader import read_report
from conformance.record.report import Judged
from conformance.views.badge import badge_json
from conformance.views.html import html_page
from conformance.views.junit import junit_xml
from conformance.views.markdown import markdown_page
from conformance.views.terminal import render
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HOSTILE, failed, failing_run, hostile_report, passed, report_of, saved

CONTROLS = {chr(code) for code in (*range(32), *range(127, 160))} - {"\n"}
DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029")
MARKUP = (
    "[text](javascript:alert(1)) ![x](http://e.org/x.png) <img src=x onerror=alert(1)> <http://e.org> http://e.org "
    "| a | b |\n|---|---|\n| c | d |\n\n# heading\n\n```\ncode\n```\n- item\n@somebody #1 &lt; *b* _i_ `c` \\[x](y) \\"
)


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    saved(tmp_path / "hostile.jsonl", hostile_report())
    return "hostile.jsonl"


def is_plain(text: str) -> bool:
    return not (CONTROLS | DIRECTIONS) & set(text)


def test_no_command_writes_a_terminal_control(lossconf: Lossconf, hostile: str, tmp_path: Path) -> None:
    saved(tmp_path / "good.jsonl", report_of(passed("h/1")))
    check = next(line["check"] for line in map(json.loads, Path(hostile).read_text().splitlines()) if "side" in line)
    for arguments in (
        ("report", hostile),
        ("explain", hostile, check),
        ("repro", hostile, check),
        ("check", hostile),
        ("baseline", "update", "--from", hostile),
        ("check", hostile, "--baseline", "baseline.toml"),
        ("baseline", "lock", "--from", hostile),
        ("diff", "good.jsonl", hostile),
        ("merge", "good.jsonl", hostile),
        ("merge", "good.jsonl", hostile, "--markdown"),
        ("explain", hostile, HOSTILE[:3000]),
        ("report", HOSTILE[:60].replace("\x00", "")),
    ):
        ended = lossconf(*arguments)
        assert ended.code in (0, 1, 2), arguments[0]
        assert is_plain(ended.out + ended.err), arguments[:2]
        assert len(ended.out + ended.err) < 100_000
    assert is_plain((tmp_path / "baseline.toml").read_text("utf-8"))


EVIL = f"""
import sys
TEXT = {HOSTILE[:300]!r} + {MARKUP!r} + "A" * 1_000_000

class EuclideanLoss:
    def forward(self, bottom):
        print(TEXT.encode("utf-8", "replace").decode(), flush=True)
        print(TEXT, file=sys.stderr, flush=True)
        if len(bottom[0]) == 1:
            raise NotImplementedError(TEXT)
        if bottom[0].size % 2:
            raise ValueError(TEXT)
        if bottom[0].ndim == 4:
            raise RuntimeError(TEXT)
        return 1.0

    def backward(self, top_diff, bottom, propagate_down):
        return bottom

def describe():
    told = dict.fromkeys(("name", "version", "language"), TEXT)
    return dict(told, environment={{TEXT[:300]: TEXT}}, devices=[TEXT[:300]], dtypes=["float32"])
"""


@pytest.mark.slow
def test_an_implementation_that_is_hostile_wherever_it_can(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL, "utf-8")
    part = ("--layer", "euclidean_loss", "--family", "golden")
    told = [lossconf("run", "-j", "1", "direct:evil", *part)]
    statuses = {judged.verdict.status.value for judged in read_report(tmp_path / "report.jsonl").judged}
    assert {"failed", "crashed", "unsupported"} <= statuses
    told += [lossconf("report"), lossconf("check"), lossconf("explain", "report.jsonl", "euclidean_loss/grid-001")]
    told += [lossconf("report", f"--{form}", "-") for form in ("junit", "markdown", "badge", "html")]
    for ended in told:
        assert ended.code in (0, 1)
        assert is_plain(ended.out + ended.err)
        assert len(ended.out) < 2_000_000
    assert len(told[0].out) < 20_000


def test_nothing_is_written_but_what_was_asked_for(lossconf: Lossconf, hostile: str, tmp_path: Path) -> None:
    wanted = {"h.html", "j.xml", "m.md", "b.json"}
    lossconf("report", hostile, "--html", "h.html", "--junit", "j.xml", "--markdown", "m.md", "--badge", "b.json")
    assert {path.name for path in tmp_path.rglob("*")} == {*wanted, hostile}


def test_junit_is_xml_whatever_it_holds() -> None:
    every = "".join(map(chr, (*range(0x300), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF))) + "]]>"
    text = junit_xml(report_of(passed("h/1"), *_failing(every)))
    legal = {*"\t\n\r"} | {chr(code) for code in range(32, 0xD800)}
    assert set(text) <= legal | {chr(code) for code in range(0xE000, 0xFFFE)}
    assert len(list(ElementTree.fromstring(text.encode()).iter("testcase"))) == 2


@pytest.mark.parametrize("text", [MARKUP, HOSTILE[:400]])
def test_markdown_holds_one_table_and_no_markup_of_others(text: str) -> None:
    page = markdown_page(report_of(passed(text), *_failing(text), dtypes=["float32"]))
    tokens = [
        token
        for block in MarkdownIt("commonmark").enable("table").parse(page)
        for token in (block, *(block.children or ()))
    ]
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 1
    assert kinds.count("th_open") == kinds.count("td_open") == 2
    assert not {"html_block", "html_inline", "image", "link_open", "fence", "code_inline", "em_open"} & set(kinds)
    assert not re.search(r"(?<!\\):(?=//)|(?<!\\)@|(?<!\\)#\d", page)  # GitHub makes links of these
    headings = [tokens[i + 1].content for i, kind in enumerate(kinds) if kind == "heading_open"]
    assert [h.partition(":")[0] for h in headings] == ["mine 1.2", "New failures, by likely cause"]


def _failing(text: str) -> Iterator[Any]:
    yield failed(text, reason=text, requirement=text, layer=text, side=text, detail={"stderr": text})


def test_names_of_layers_and_families_stay_in_their_attributes() -> None:
    bad = '" onmouseover="alert(1)" x=\'><script>alert(2)</script>\ud800'
    report = report_of(passed("h/1"), *(Judged(bad, bad, j.verdict) for j in _failing(bad)))
    found: list[tuple[str, list[tuple[str, str | None]]]] = []

    class Elements(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, attrs))

    Elements().feed(html_page(report))
    assert [tag for tag, _ in found].count("script") == 3
    for tag, attributes in found:
        for name, value in attributes:
            assert not name.startswith("on"), tag
            assert not (name in ("href", "src") and not (value or "").startswith(("#", "data:,"))), value


DELETED = object()
VALUES: tuple[Any, ...] = (
    DELETED,
    None,
    5,
    "x",
    [],
    {},
    -1,
    True,
    [1, 2],
    1e999,
    math.nan,
    [[]],
    "\x1b[31m<script>\x00\ud800",
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    children = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, child in children if len(place) < 3 else ():
        yield from _places(child, (*place, name))


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    first, *rest = place
    if not rest and new is DELETED:
        return {k: v for k, v in value.items() if k != first} if isinstance(value, dict) else value[1:]
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[first] = _with(value[first], tuple(rest), new)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["header", "verdict", "evidence", "end", "harness_error", "resumed", "footer"])
def test_a_line_of_any_shape_is_refused_in_one_line_or_shown(tmp_path: Path, kind: str) -> None:
    whole = [json.loads(line) for line in failing_run(tmp_path).read_text("utf-8").splitlines()]
    check = next(line["check"] for line in whole if line["kind"] == "evidence")
    end = next(line for line in whole if line["kind"] == "end")
    lines = [
        line for line in whole if line["kind"] in ("header", "footer") or line.get("check") == check or line is end
    ]
    lines[-1:-1] = [
        {"kind": "harness_error", "item": "x", "message": "m"},
        {"kind": "resumed", "started": "", "machine": {}},
    ]
    at = next(i for i, line in enumerate(lines) if line["kind"] == kind)
    path, good = tmp_path / "report.jsonl", report_of(passed("h/1"))
    for place in _places(lines[at]):
        for new in VALUES[not place :] if place != ("kind",) else ():
            changed = [*lines[:at], _with(lines[at], place, new), *lines[at + 1 :]]
            path.write_text("".join(json.dumps(line) + "\n" for line in changed))
            try:
                report = read_report(path)
                render(report, Console(file=io.StringIO(), width=100), str(path))
                for form in (html_page, junit_xml, markdown_page, badge_json):
                    form(report).encode()
                matrix(joined({path: report, Path("good"): good}))
                differences_between(report, good)
                decision_on(report, None, Lock.of(good, path))
                Lock.of(report, path)
                updated(Baseline(), report)
            except UsageError as error:
                assert is_plain(str(error)) and len(str(error)) < 1000, (place, new)


@pytest.mark.parametrize("name", ["../escaped", "/etc/x", "a\\b", "..", "", "a\0b"])
def test_a_file_of_a_case_has_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        Case.from_json("h/1", {"net": "", "files": {name: ""}})


def test_a_command_to_copy_cannot_end_its_quotes(lossconf: Lossconf, tmp_path: Path) -> None:
    bad = "h/2'; touch broken; '"
    saved(tmp_path / "report.jsonl", report_of(passed("h/1"), *_failing(bad)))
    hint = next(line for line in lossconf("report").out.splitlines() if "lossconf explain" in line)
    assert shlex.split(hint)[:5] == ["next:", "lossconf", "explain", "report.jsonl", f"{bad}[float32]"]
