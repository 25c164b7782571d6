"""`lossconf run --resume`: a run goes on where it was stopped, and never from another run's report."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main
from conformance.contract.errors import UsageError
from conformance.engine.stopped_run import stopped_run
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in
from tests.kill_and_resume import disturbed, undisturbed, verdicts

CASES = ("euclidean_loss/grid-001", "euclidean_loss/grid-002", "hinge_loss/grid-006")
RUN = ("run", "reference", "-j", "0", *(word for case in CASES for word in ("--case", case)))


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.jsonl"


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The report of a whole `RUN`."""
    path = tmp_path_factory.mktemp("once") / "report.jsonl"
    with pytest.raises(SystemExit):
        main([*RUN, "--report", str(path)])
    return path.read_bytes()


@pytest.fixture
def whole(report: Path, run_once: bytes) -> Mapping[Any, int]:
    """The verdicts of a run that was not disturbed, whose report lies there."""
    report.write_bytes(run_once)
    return verdicts(report)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def cut(path: Path, count: int, torn: str = "") -> None:
    """Leave the first lines, and the beginning of the next."""
    kept = path.read_text("utf-8").splitlines(keepends=True)[:count]
    path.write_text("".join(kept) + torn, "utf-8")


def ends(path: Path) -> list[int]:
    return [i for i, line in enumerate(lines(path), 1) if line["kind"] == "end"]


def test_a_run_goes_on_after_the_last_item_that_ended(
    lossconf: Lossconf, report: Path, whole: Mapping[Any, int]
) -> None:
    second = ends(report)[1]
    cut(report, second + 2, '{"kind":"verd')  # in the middle of the third item
    assert not read_report(report).complete
    ended = lossconf(*RUN, "--resume")
    assert ended.code == 0
    assert verdicts(report) == whole
    assert read_report(report).complete
    items = [line["item"] for line in lines(report) if line["kind"] == "end"]
    assert len(items) == len(set(items)) == 6
    assert [line["kind"] for line in lines(report)].count("resumed") == 1
    assert lines(report)[-1]["verdicts"] == sum(whole.values())


def test_a_run_stopped_twice_goes_on_twice(lossconf: Lossconf, report: Path, whole: Mapping[Any, int]) -> None:
    cut(report, ends(report)[0])
    lossconf(*RUN, "--resume")
    cut(report, ends(report)[3])
    lossconf(*RUN, "--resume")
    assert verdicts(report) == whole


@pytest.mark.parametrize("left", [None, ""])
def test_a_run_of_which_nothing_is_left_starts_anew(lossconf: Lossconf, report: Path, left: str | None) -> None:
    if left is not None:
        report.write_text(left)  # killed between the file's making and its first line
    assert lossconf(*RUN, "--resume").code == 0
    assert read_report(report).complete


def test_an_item_that_broke_the_suite_is_run_again(lossconf: Lossconf, report: Path, whole: Mapping[Any, int]) -> None:
    kept = lines(report)[: ends(report)[0]]
    error = {"kind": "harness_error", "item": kept[-1]["item"], "message": "out of memory"}
    report.write_text("".join(json.dumps(line) + "\n" for line in (*kept[:-1], error, kept[-1])))
    assert stopped_run(report).done == frozenset()  # type: ignore[union-attr]
    lossconf(*RUN, "--resume")
    assert verdicts(report) == whole
    assert not read_report(report).harness_errors


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("--dtype", "float32"), "dtypes"),
        (("--dialect", "bvlc"), "dialect"),
        (("-k", "euclidean"), "selection"),
        (("--case", "hinge_loss/grid-007"), "selection"),
    ],
)
@pytest.mark.usefixtures("whole")
def test_another_runs_report_is_left_alone(
    lossconf: Lossconf, report: Path, changed: tuple[str, ...], says: str
) -> None:
    cut(report, ends(report)[0])
    before = report.read_bytes()
    ended = lossconf(*RUN, *changed, "--resume")
    assert ended.code == 2
    assert says in ended.err
    assert report.read_bytes() == before


@pytest.mark.usefixtures("whole")
def test_a_complete_report_is_not_resumed(lossconf: Lossconf) -> None:
    ended = lossconf(*RUN, "--resume")
    assert ended.code == 2
    assert "is complete" in ended.err


def test_a_file_that_is_no_report_is_not_resumed(report: Path) -> None:
    report.write_text("[1, 2]\n")
    with pytest.raises(UsageError, match="line 1"):
        stopped_run(report)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_verdicts_of_an_undisturbed_one(tmp_path: Path) -> None:
    seconds = undisturbed(tmp_path / "whole.jsonl")
    wanted, draw = verdicts(tmp_path / "whole.jsonl"), random.Random(1)
    for i in range(3):
        path = tmp_path / f"{i}.jsonl"
        disturbed(path, [draw.uniform(0.3, 1) * seconds for _ in range(1 + i % 2)])
        assert verdicts(path) == wanted
        assert read_report(path).complete
