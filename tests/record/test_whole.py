"""A report that lacks a line, or holds one that nobody counted, is refused by whoever reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.contract.case import Case
from conformance.contract.errors import NotWhole, UsageError
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.evidence import LONGEST, Evidence
from conformance.record.grade import Grade
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in
from tests.reports import failed, passed, report_of, saved, verdict

EVIDENCE = {"kind": "evidence", "check": "h/2", "dtype": "float32", "causes": {"sign": 1.0}}
WHOLE = report_of(passed("h/1"), failed("h/2"), verdict("h/3", Status.UNSUPPORTED), evidence=[EVIDENCE])
LEFT = range(1, 8)
"""Lines between header and footer: three verdicts, evidence, three ends."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    saved(tmp_path / "report.jsonl", WHOLE)
    return tmp_path / "report.jsonl"


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def rewrite(path: Path, **header: Any) -> None:
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **header}), *rest]) + "\n")


def test_what_is_whole_is_read(path: Path) -> None:
    assert read_report(path).complete


@pytest.mark.parametrize("line", [0, *LEFT])
def test_a_line_that_was_cut_out_is_missed(path: Path, line: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(NotWhole, match="is not whole" if line else "one header"):
        read_report(path)


@pytest.mark.parametrize("line", [0, *LEFT, 8])
def test_a_line_that_was_put_in_is_noticed(path: Path, line: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: line + 1] + lines[line:]))
    with pytest.raises(NotWhole):
        read_report(path)


def test_a_failure_turned_into_a_pass_is_noticed(path: Path) -> None:
    path.write_text(path.read_text().replace('"status": "failed"', '"status": "passed"'))
    with pytest.raises(NotWhole, match="counts 1 failed, 1 passed, 1 unsupported counts"):
        read_report(path)


def test_a_version_of_no_suite_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('"status"', f'"since": "{"9" * 5000}", "status"', 1))
    with pytest.raises(UsageError, match=r"line 2: .* since is '999"):
        read_report(path)


def test_nothing_stands_behind_the_footer(path: Path) -> None:
    whole = path.read_text()
    *lines, footer = whole.splitlines(keepends=True)
    for text in ("".join([*lines[:3], footer, *lines[3:]]), whole + '{"kind": "verd'):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"line (5|10): "):
            read_report(path)


@pytest.mark.parametrize("change", [{"level": "should"}, {"limit": "passes"}])
def test_a_failure_that_is_no_must_any_more_is_noticed(path: Path, change: dict[str, str]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | change if line.get("status") == "failed" else line for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(NotWhole, match=r"its footer counts 3 owed, .* musts"):
        read_report(path)


@pytest.mark.parametrize("header", [{"items": 2}, {"digest": "0" * 64}, {"plan": "0" * 64}, {"digest": ""}])
def test_a_header_about_other_items_is_refused(path: Path, header: dict[str, Any]) -> None:
    rewrite(path, **header)
    with pytest.raises(NotWhole):
        read_report(path)


def test_a_share_that_calls_itself_the_whole_is_refused(tmp_path: Path) -> None:
    share = {"selection": {}, "keyword": "", "shares": [[1, 2]]}
    part = report_of(passed("h/1"), plan="of two", selection=share)
    saved(tmp_path / "part.jsonl", part)
    assert read_report(tmp_path / "part.jsonl").complete
    rewrite(tmp_path / "part.jsonl", selection={**share, "shares": []})
    with pytest.raises(NotWhole, match="no share"):
        read_report(tmp_path / "part.jsonl")


def test_an_unfinished_report_lacks_none_of_the_verdicts_of_what_ended(tmp_path: Path) -> None:
    report = report_of(passed("h/1"), complete=False)
    (end,) = report.ended
    lines = [report.header, {**end, "verdicts": 1}]
    (tmp_path / "left.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(NotWhole, match="end after 1 verdicts, and 0 are there"):
        read_report(tmp_path / "left.jsonl")


COMMANDS = (
    ("check", "report.jsonl"),
    ("report", "report.jsonl"),
    ("diff", "report.jsonl", "report.jsonl"),
    ("merge", "report.jsonl", "-o", "out.jsonl"),
    ("scoreboard", "report.jsonl", "-o", "site"),
    ("explain", "report.jsonl", "h/2"),
    ("repro", "report.jsonl", "h/2"),
    ("baseline", "update", "--from", "report.jsonl"),
    ("baseline", "lock", "--from", "report.jsonl"),
)


def test_every_reader_ends_with_5_and_one_line(lossconf: Lossconf, path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2] + lines[3:]))
    for command in COMMANDS:
        ended = lossconf(*command)
        assert (ended.code, ended.out, ended.err.count("\n")) == (5, "", 1), command
        assert "its footer counts 3 verdicts, and 2 are there" in ended.err
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_lone_shard_never_opens_the_gate(lossconf: Lossconf, tmp_path: Path) -> None:
    share = {"selection": {}, "keyword": "", "shares": [[1, 2]]}
    saved(tmp_path / "1.jsonl", report_of(passed("h/1"), plan="of two", selection=share))
    assert lossconf("check", "1.jsonl").code == 7
    assert lossconf("merge", "1.jsonl", "-o", "joined.jsonl").code == 0
    assert lossconf("check", "joined.jsonl").code == 7


@pytest.mark.parametrize("names", [1, 20_000])
def test_names_of_an_implementation_do_not_make_evidence_long(names: int) -> None:
    case = Case("h/2", "", {"x": np.zeros(2)})
    blobs = {f"{i}{'n' * (20_000_000 // names)}": np.zeros(1) for i in range(names)}
    answer = Outcome("float32", 1.0, {}, blobs, {}, ())
    long = "n" * 20_000_000
    array = Deviation("forward", long, None, "net", (1,), *(np.zeros(1),) * 3, np.zeros(1, np.int64), 1)
    piece = Evidence("h/2", "float32", {Cause.SIGN: Grade.EXACT}, case, answer, arrays=(array,))
    for each in (piece, replace(piece, arrays=())):
        line = each.to_json()
        assert len(json.dumps(line)) <= LONGEST
        assert "characters, more than" in Evidence.from_json(line).left_out
