"""`lossconf run` as a whole: processes, shards, deaths, hangs, the report, the exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from conformance.contract.selection import Selection
from conformance.contract.verdict import Status
from conformance.engine.order import Order
from conformance.engine.supervisor import supervise
from conformance.fixtures import load
from conformance.record.evidence import evidence_of
from conformance.record.reader import read_report
from conformance.record.report import Judged, Report
from conformance.record.shape import schema as line_schema
from tests.command_line import Lossconf, lossconf_in

MINIATURE = "direct:tests.direct_miniatures:"
CASES = ("euclidean_loss/grid-001", "euclidean_loss/grid-002", "hinge_loss/grid-006")
FEW = tuple(word for case in CASES for word in ("--case", case))
ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.jsonl"


def statuses(report: Report) -> dict[tuple[str, str], set[Status]]:
    found: dict[tuple[str, str], set[Status]] = {}
    for judged in report.judged:
        found.setdefault((judged.verdict.check, judged.verdict.dtype), set()).add(judged.verdict.status)
    return found


def keys(judged: Iterable[Judged]) -> Counter[tuple[str, ...]]:
    return Counter(
        (each.verdict.check, each.verdict.dtype, each.verdict.requirement, each.verdict.status.value) for each in judged
    )


def test_the_reference_conforms(lossconf: Lossconf, report: Path) -> None:
    ended = lossconf("run", *FEW)
    assert ended.code == 0
    assert "conforms" in ended.out
    assert statuses(read_report(report)) == {
        (case, dtype): {Status.PASSED} for case in CASES for dtype in ("float32", "float64")
    }


def test_every_line_of_the_report_follows_the_schema(lossconf: Lossconf, report: Path) -> None:
    lossconf("run", MINIATURE + "IgnoresWeight", *FEW)
    schema = Draft202012Validator(line_schema())
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert [line["kind"] for line in (lines[0], lines[-1])] == ["header", "footer"]
    for line in lines:
        schema.validate(line)


def test_an_implementation_that_is_wrong_ends_with_1_and_its_cause(lossconf: Lossconf) -> None:
    ended = lossconf("run", MINIATURE + "IgnoresWeight", "--layer", "euclidean_loss", "--family", "golden")
    assert ended.code == 1
    assert "does not conform" in ended.out
    assert "off by a factor of the loss_weight" in ended.out
    assert "euclidean_loss.loss-weight" in ended.out
    assert "euclidean_loss.forward" not in ended.out


@pytest.mark.slow
def test_processes_and_shards_together_judge_what_one_process_judges(
    lossconf: Lossconf, report: Path, tmp_path: Path
) -> None:
    suite = ("--family", "golden", "--layer", "multinomial_logistic_loss")
    lossconf("run", "-j", "0", *suite, "--report", "whole.jsonl")
    whole = keys(read_report(tmp_path / "whole.jsonl").judged)
    lossconf("run", "-j", "2", *suite)
    assert keys(read_report(report).judged) == whole
    parts: Counter[tuple[str, ...]] = Counter()
    for index in (1, 2, 3):
        lossconf("run", "-j", "0", *suite, "--shard", f"{index}/3")
        part = keys(read_report(report).judged)
        assert part
        parts += part
    assert parts == whole


def test_dtype_layer_and_expression_narrow_a_run(lossconf: Lossconf, report: Path) -> None:
    lossconf("run", "-j", "0", "--layer", "hinge_loss", "--dtype", "float32", "-k", "grid and not mp")
    judged = read_report(report).judged
    assert {each.stem for each in judged} == {"hinge_loss"}
    assert {each.verdict.dtype for each in judged} == {"float32"}
    assert all("grid" in each.verdict.check for each in judged)


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("Aborts", Status.CRASHED, "died by SIGABRT"),
        ("Segfaults", Status.CRASHED, "died by SIGSEGV"),
        ("Leaves", Status.CRASHED, "exited with status 0"),
        ("Sleeps", Status.TIMED_OUT, "no sign of life within 2 s, while it ran a case"),
    ],
)
def test_a_death_costs_one_check_its_verdict(
    lossconf: Lossconf, report: Path, name: str, status: Status, reason: str
) -> None:
    assert lossconf("run", MINIATURE + name, *FEW, "--timeout", "2").code == 1
    found = read_report(report)
    assert found.complete
    expected = {(case, dtype): {Status.PASSED} for case in CASES for dtype in ("float32", "float64")}
    assert statuses(found) == expected | {(CASES[0], "float32"): {status}}
    died = [each.verdict for each in found.judged if each.verdict.status is status]
    assert all(reason in verdict.reason for verdict in died)
    (piece,) = evidence_of(found)
    assert piece.case is not None
    assert (piece.case.net, piece.answer, bool(piece.arrays)) == (load(CASES[0]).case.net, None, True)


def test_the_last_words_of_a_dead_process_are_kept(lossconf: Lossconf, report: Path) -> None:
    ended = lossconf("run", MINIATURE + "Aborts", *FEW)
    died = [each.verdict for each in read_report(report).judged if each.verdict.status is Status.CRASHED]
    assert "terminate called: out of memory" in died[0].detail["stderr"]
    assert "terminate called: out of memory" in ended.out


@pytest.mark.slow
def test_a_hang_that_python_cannot_interrupt_is_stopped_from_outside(lossconf: Lossconf, report: Path) -> None:
    assert lossconf("run", MINIATURE + "HangsDeep", *FEW, "--timeout", "2").code == 1
    found = read_report(report)
    assert found.complete
    assert statuses(found)[CASES[0], "float32"] == {Status.TIMED_OUT}
    assert statuses(found)[CASES[0], "float64"] == {Status.PASSED}


def test_what_an_implementation_prints_reaches_neither_the_report_nor_the_output(
    lossconf: Lossconf, report: Path
) -> None:
    ended = lossconf("run", MINIATURE + "Prints", *FEW)
    assert ended.code == 0
    assert "not JSON" not in ended.out + report.read_text("utf-8")


def test_nothing_judged_is_no_conformance(lossconf: Lossconf) -> None:
    ended = lossconf("run", "-j", "0", MINIATURE + "Euclidean", "--case", "hinge_loss/grid-006")
    assert ended.code == 7
    assert "nothing was judged" in ended.out


def test_the_users_pytest_configuration_plays_no_part(
    lossconf: Lossconf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('a conftest was read')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--another-one")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    assert lossconf("run", *FEW).code == 0
    assert lossconf("run", "-j", "0", *FEW).code == 0
    assert os.environ["PYTEST_ADDOPTS"] == "--another-one"


@pytest.mark.slow
def test_a_folder_named_like_the_suite_is_not_imported(lossconf: Lossconf, tmp_path: Path) -> None:
    for name in ("conformance", "refimpl", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported from the working directory')\n")
    assert lossconf("run", *FEW).code == 0


def test_a_killed_run_leaves_a_report_that_says_it_is_incomplete(lossconf: Lossconf, report: Path) -> None:
    command = [sys.executable, "-m", "conformance", "run", "--family", "golden", "--report", str(report)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not report.exists() or report.stat().st_size < 10_000:
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    found = read_report(report)
    assert found.judged
    assert not found.complete
    assert "incomplete" in lossconf("report").out


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process ends at its next event")
def test_a_case_that_hangs_does_not_outlive_a_killed_run(report: Path, tmp_path: Path) -> None:
    spec = ("direct:tests.direct_miniatures:HangsDeep", "--case", "euclidean_loss/grid-001", "--dtype", "float32")
    command = [sys.executable, "-m", "conformance", "run", "-j", "1", *spec, "--report", str(report)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not (report.exists() and report.stat().st_size):
            assert running.poll() is None
            time.sleep(0.02)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal.SIGKILL)
    assert len(children) == 1
    end = time.monotonic() + 10
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{children[0]}").exists()


def test_an_interrupted_run_ends_with_130(report: Path) -> None:
    command = [sys.executable, "-m", "conformance", "run", "-j", "2", "--family", "golden", "--report", str(report)]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heeded
    ) as running:
        while not report.exists():
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted" in err


@pytest.mark.slow
def test_no_process_outlives_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    def interrupt(event: Any) -> None:
        if event["kind"] == "verdict":
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        supervise(Order("reference", selection=Selection(("golden",))), 2, interrupt)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


@pytest.mark.slow
def test_fresh_values_come_from_a_seed_that_the_report_names(lossconf: Lossconf, tmp_path: Path) -> None:
    digests = []
    for words in (("--fresh=7",), ("--fresh=7",), ("--fresh",), ()):
        ended = lossconf("run", "reference", *FEW, "--dtype", "float32", "-j", "0", *words)
        report = read_report(tmp_path / "report.jsonl")
        seed = report.header["fresh"]
        assert (ended.code, bool(seed)) == (0, bool(words))
        assert (f"fresh values, from seed {seed}" in " ".join(ended.out.split())) is bool(words)
        digests.append(json.dumps([end["cases"] for end in report.ended]))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_run_ends_after_as_many_failing_cases_as_it_was_to_bear(lossconf: Lossconf, report: Path) -> None:
    some = ("--family", "loss_weight", "--layer", "euclidean_loss", "--dtype", "float32", "-j", "0", "--fail-fast", "2")
    ended = lossconf("run", MINIATURE + "IgnoresWeight", *some)
    assert (ended.code, "stopped after 2 failing case(s)" in ended.out) == (1, True)
    footer = json.loads(report.read_text("utf-8").splitlines()[-1])
    assert (footer["exit"], footer["stopped_after"]) == (1, 2)
    stopped = read_report(report)
    assert len({one.verdict.check for one in stopped.judged if one.verdict.status.breaks}) == 2
    assert [bool(end.get("cut")) for end in stopped.ended] == [True]  # amid the first bundle

    assert lossconf("run", MINIATURE + "IgnoresWeight", *some[:-2], "--resume").code == 1
    whole = read_report(report)
    assert whole.complete
    assert not any(end.get("cut") for end in whole.ended)
    assert len(whole.ended) == len({end["item"] for end in whole.ended}) == whole.header["items"]


def test_what_is_declined_is_told_and_never_run(lossconf: Lossconf) -> None:
    some = ("--case", "euclidean_loss/grid-001", "--dtype", "float32", "-j", "0")
    ended = lossconf("run", "reference", *some, "--declines", "net.*", "--declines", "euclidean_loss.forward")
    assert ended.code == 0
    assert re.search(r"declined \((net\.\*|euclidean_loss\.forward): \d+", ended.out)
    all_of_it = lossconf("run", "reference", *some, "--declines", "size>1")
    assert (all_of_it.code, "nothing was judged" in all_of_it.out) == (7, True)
    assert lossconf("run", "reference", *some, "--declines", "net.spilt").code == 2
