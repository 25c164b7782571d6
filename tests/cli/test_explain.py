"""`lossconf explain` and `lossconf repro` on a real failing run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.diagnosis.investigator import with_expectation
from conformance.engine.lost import lost_evidence
from conformance.fixtures import load
from conformance.record.cause import Cause
from conformance.record.deviation import KEPT
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.grade import Grade
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in
from tests.reports import failed, failing_run, passed, report_of, saved, verdict

CASE = "loss_weight/euclidean_loss/plain/tenth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return failing_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def evidence(report: Path) -> Evidence:
    return next(piece for piece in evidence_of(read_report(report)) if piece.check == CASE)


def test_a_failing_case_is_explained(lossconf: Lossconf, report: Path) -> None:
    ended = lossconf("explain", str(report), CASE)
    assert ended.code == 0
    for told in (
        "off by a factor of the loss_weight",
        "L = sum_i (a_i - b_i)^2 / (2 N)",
        "bottom gradient x: 20 of 20 element(s) out of bounds",
        "[0, 0]       got 0.5, want 0.05",
        'type: "EuclideanLoss"',
        "x (4, 5)",
    ):
        assert told in ended.out


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("loss_weight/euclidean_loss/plain/tenht", "did you mean"),
        ("loss_weight/euclidean_loss/plain/one", "failed nothing"),
        (f"{CASE}[float64]", "failed nothing"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(lossconf: Lossconf, report: Path, case: str, says: str) -> None:
    for command in ("explain", "repro"):
        ended = lossconf(command, str(report), case)
        assert ended.code == 2
        assert says in ended.err
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "printed",
    [
        f"{CASE} (float32)",
        f"{CASE} (float32), layer loss",
        f"{CASE}[float32] euclidean_loss.loss-weight",
        f"{CASE} in float32",
    ],
)
def test_a_case_is_found_by_whatever_we_print_of_it(lossconf: Lossconf, report: Path, printed: str) -> None:
    assert lossconf("explain", str(report), printed).out == lossconf("explain", str(report), CASE).out
    assert lossconf("repro", str(report), printed).code == 0


def test_the_end_of_a_failing_run_says_how_to_look_closer(lossconf: Lossconf, report: Path) -> None:
    lines = lossconf("report", str(report)).out.splitlines()
    hint = next(line for line in lines if line.startswith("next: ")).removeprefix("next: ").rsplit("  ", 1)[0]
    assert hint.startswith("lossconf explain ")
    assert lossconf(*shlex.split(hint)[1:]).code == 0


def test_a_generated_case_is_explained_from_its_verdict_alone(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    case = evidence(report).case
    assert case is not None
    bad = failed("properties/net/differential", detail={"case": json.dumps(case.to_json())})
    path = tmp_path / "generated.jsonl"
    saved(path, report_of(passed("h/1"), bad))
    told = lossconf("explain", str(path), "properties/net/differential (float32)")
    assert 'type: "EuclideanLoss"' in told.out
    assert "did not keep what was wanted" in told.out
    ended = lossconf("repro", str(path), "properties/net/differential", "-o", "repro.py")
    assert (ended.code, "did not keep what was wanted" in ended.err) == (2, True)
    torn = failed("h/2", detail={"case": "{"})
    saved(path, report_of(passed("h/1"), torn))
    assert "cannot be read" in lossconf("explain", str(path), "h/2").err


@pytest.mark.slow
def test_a_case_that_its_process_died_of_is_the_suites(lossconf: Lossconf, tmp_path: Path) -> None:
    path, check = tmp_path / "died.jsonl", "euclidean_loss/grid-001"
    died = verdict(check, Status.CRASHED, reason="died by SIGABRT")
    lost = lost_evidence(check, "float32", [died.verdict.requirement], None)
    saved(path, report_of(passed("h/1"), died, evidence=[lost.to_json()]))
    told = lossconf("explain", str(path), check).out
    assert "refuses, or dies on, what Caffe computes" in told
    assert 'type: "EuclideanLoss"' in told
    script = tmp_path / "repro.py"
    assert lossconf("repro", str(path), check, "-o", str(script)).code == 0
    reference = ReferenceImplementation().run(load(check).case, "float32")
    assert isinstance(reference, Outcome)
    np.savez(tmp_path / "answer.npz", loss=reference.loss)
    assert run(script, "answer.npz").returncode == 0
    np.savez(tmp_path / "answer.npz", loss=reference.loss + 1)
    assert run(script, "answer.npz").returncode == 1


def test_an_answer_to_what_caffe_refuses_is_told_apart(lossconf: Lossconf, tmp_path: Path) -> None:
    net = 'layer { name: "a" type: "Power" bottom: "nowhere" top: "p" }'
    bare = Evidence("h/2", "float32", {Cause.ACCEPTS: Grade.EXACT}, Case("h/2", net), Outcome("float32", 0.0))
    piece = with_expectation(bare, None)
    path = tmp_path / "report.jsonl"
    saved(path, report_of(passed("h/1"), failed("h/2"), evidence=[piece.to_json()]))
    assert "it computes what Caffe refuses" in lossconf("explain", str(path), "h/2").out
    assert lossconf("repro", str(path), "h/2", "-o", "repro.py").code == 0
    shown = run(tmp_path / "repro.py")
    assert shown.returncode == 1
    assert "the answer computes what Caffe refuses" in shown.stdout


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(script), *arguments], capture_output=True, text=True, cwd=script.parent, check=False
    )


def test_the_script_shows_the_failure_by_itself(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    script = tmp_path / "repro.py"
    assert lossconf("repro", str(report), CASE, "-o", str(script)).code == 0
    shown = run(script)
    assert shown.returncode == 1
    assert "wrong in 20 of 20; first at [0, 0]: got 0.5, want 0.05" in shown.stdout
    assert "conformance" not in script.read_text().replace("lossconf", "")


def test_the_script_accepts_a_right_answer(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    script = tmp_path / "repro.py"
    lossconf("repro", str(report), CASE, "-o", str(script))
    piece = evidence(report)
    assert piece.case is not None
    answer = ReferenceImplementation().run(piece.case, "float32")
    assert isinstance(answer, Outcome)
    arrays = {f"data/{name}": a for name, a in answer.data.items()} | {f"diff/{n}": a for n, a in answer.diff.items()}
    np.savez(tmp_path / "answer.npz", loss=answer.loss, **arrays)
    told = run(script, "answer.npz")
    assert (told.returncode, told.stderr) == (0, "")
    np.savez(tmp_path / "answer.npz", loss=2 * answer.loss, **arrays)
    assert run(script, "answer.npz").returncode == 1


def test_evidence_survives_its_line(report: Path) -> None:
    piece = evidence(report)
    again = Evidence.from_json(json.loads(json.dumps(piece.to_json(), allow_nan=False)))
    assert again.causes == piece.causes
    assert isinstance(piece.answer, Outcome) and isinstance(again.answer, Outcome)
    for name, array in piece.answer.diff.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(again.answer.diff[name], array)
    assert again.case is not None and piece.case is not None
    assert again.case.digest() == piece.case.digest()


def test_what_is_too_large_keeps_its_causes_only(report: Path) -> None:
    piece = evidence(report)
    assert piece.case is not None
    large = {"x": np.zeros(5000)}
    arrays = (*piece.arrays[:1], replace(piece.arrays[0], **wrong_in(100)), piece.arrays[-1])
    whole = Evidence("a", "float32", {Cause.SIGN: Grade.EXACT}, Case("a", "", large), piece.answer, arrays=arrays)
    bounded = whole.bounded()
    assert (bounded.case, bounded.answer, bounded.causes) == (None, None, {Cause.SIGN: Grade.EXACT})
    assert "more than" in bounded.left_out
    assert [len(array.wrong) for array in bounded.arrays] == [20, KEPT]
    again = Evidence.from_json(json.loads(json.dumps(bounded.to_json())))
    assert list(again.arrays[1].elements())[-1][:3] == ((63,), 63.0, 0.0)
    assert again.arrays[1].rejected == 100


def wrong_in(count: int) -> dict[str, Any]:
    """The fields of a deviation of ``count`` elements, all of them wrong."""
    got = np.arange(count, dtype=np.float64)
    numbers = {"got": got, "want": np.zeros(count), "bound": np.ones(count)}
    return {**numbers, "shape": (count,), "wrong": np.arange(count), "rejected": count}


def test_a_large_case_is_explained_by_its_wrong_elements(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    piece = replace(evidence(report), left_out="9999 numbers, more than 4096", case=None, answer=None)
    cut = replace(piece, check="h/2", arrays=tuple(array.cut() for array in piece.wrong))
    path = tmp_path / "large.jsonl"
    saved(path, report_of(passed("h/1"), failed("h/2"), evidence=[cut.to_json()]))
    shown = lossconf("explain", str(path), "h/2").out
    assert "[0, 0]       got 0.5, want 0.05" in shown
    assert "not kept: 9999 numbers" in shown
    assert "9999 numbers" in lossconf("repro", str(path), "h/2").err


def test_evidence_holds_what_is_wrong_and_what_is_right(report: Path) -> None:
    piece = evidence(report)
    assert [array.place for array in piece.wrong] == ["diff/x", "diff/z"]
    assert next(piece.wrong[0].elements())[0] == (0, 0)
    assert piece.wrong[0].in_bounds().min() > 1
    assert "loss" in {array.place for array in piece.arrays if not array.rejected}
    assert piece.formula.startswith("L = sum_i")


def test_a_report_of_the_first_schema_shows_what_it_has(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    for line in lines:
        for name in ("arrays", "refusal", "formula"):
            line.pop(name, None)
        if line["kind"] == "header":
            line["schema"] = 1
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = lossconf("explain", "old.jsonl", CASE).out
    assert "off by a factor of the loss_weight" in shown
    assert "did not keep what was wanted" in shown
    assert 'type: "EuclideanLoss"' in shown
    assert "did not keep what was wanted" in lossconf("repro", "old.jsonl", CASE).err
    for form in ("html", "junit", "markdown"):
        assert "off by a factor of the loss" in lossconf("report", "old.jsonl", f"--{form}", "-").out


@pytest.mark.caffe
def test_the_script_runs_its_net_in_a_real_caffe(lossconf: Lossconf, report: Path, tmp_path: Path) -> None:
    python = os.environ.get("LOSSCONF_CAFFE_PYTHON")
    if not python:
        pytest.skip("LOSSCONF_CAFFE_PYTHON names no Python with a Caffe (tox -e caffe)")
    script = tmp_path / "repro.py"
    lossconf("repro", str(report), CASE, "-o", str(script))
    told = subprocess.run([python, str(script), "--caffe"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-500:]
    assert "diff/x                   right" in told.stdout
