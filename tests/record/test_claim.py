"""Two runs on one report: the second is refused at once, and nothing of the first is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.contract.errors import UsageError
from conformance.record.writer import ReportWriter
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HEADER

RUN = ("run", "reference", "-j", "0", "--case", "euclidean_loss/grid-001")


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_second_run_is_refused_at_once(lossconf: Lossconf, tmp_path: Path, resumed: bool) -> None:
    path = tmp_path / "report.jsonl"
    with ReportWriter(path) as writer:
        if resumed:
            writer.begin_with([HEADER])
        else:
            writer.write(HEADER)
        before = path.read_bytes()
        for options in ((), ("--resume",)):
            ended = lossconf(*RUN, *options)
            assert (ended.code, ended.err.count("\n")) == (2, 1)
            assert "another run is writing it" in ended.err
        assert path.read_bytes() == before
    assert lossconf(*RUN).code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["report.jsonl"]


def test_a_run_that_never_starts_leaves_no_report_and_an_earlier_one_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    with ReportWriter(path):
        pass
    assert not path.exists()
    path.write_text("an earlier one")
    with ReportWriter(path):
        pass
    assert path.read_text() == "an earlier one"


def test_a_claim_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    program = (
        "import os, pathlib, sys; from conformance.record.writer import ReportWriter\n"
        f"ReportWriter(pathlib.Path({str(path)!r})).write({{}}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, env=os.environ)
    assert path.read_text() == "{}\n"
    with ReportWriter(path) as writer:
        writer.write(HEADER)
        with pytest.raises(UsageError, match="another run"):
            ReportWriter(path)
