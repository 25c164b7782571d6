"""A whole run on each misbehaving implementation: it ends, its report is complete, and one case lost its verdict."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.implementation import Crash, ProtocolError, TimedOut, Unsupported
from fixtures.tools.store import load, path_of
from tests.miniatures import AT_START, IN_A_CASE, Miniature, command, well_behaved

CASES = tuple(f"euclidean_loss/grid-{number}" for number in ("001", "002", "006", "008", "009"))
SPOILT = CASES[2]
STATUS = {Crash: "crashed", TimedOut: "timed_out", ProtocolError: "protocol_error", Unsupported: "unsupported"}
CONFORMS, DOES_NOT_CONFORM, DOES_NOT_START, UNDECIDED = 0, 1, 6, 7

pytestmark = pytest.mark.slow


def run(line: list[str], report: Path, *options: str) -> int:
    """The exit code of a run on the cases."""
    cases = [word for case in CASES for word in ("--case", case)]
    spec = f"process:{shlex.join(line)}"
    lossconf = [sys.executable, "-m", "conformance", "run", spec, "--dtype", "float32", "--report", str(report)]
    return subprocess.run([*lossconf, *cases, *options], capture_output=True, text=True, timeout=60).returncode


def verdicts(report: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The verdicts of a complete report, by check and requirement."""
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("header", "footer")
    found = {(line["check"], line["requirement"]): line for line in lines if line["kind"] == "verdict"}
    assert lines[-1]["verdicts"] == len(found)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    report = tmp_path_factory.mktemp("undisturbed") / "report.jsonl"
    assert run(well_behaved(honest=True), report) == CONFORMS
    return verdicts(report)


def test_the_cases_are_told_apart_by_their_nets() -> None:
    assert len({load(path_of(case))["case"]["net"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("miniature", IN_A_CASE, ids=lambda miniature: miniature.behaviour)
def test_misbehaviour_costs_one_verdict_of_a_run(
    miniature: Miniature, undisturbed: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    line = command(miniature.behaviour, when=load(path_of(SPOILT))["case"]["net"], honest=True)
    report = tmp_path / "report.jsonl"
    code = run(line, report, *(("--timeout", "4") if miniature.hangs else ()))
    assert code == (UNDECIDED if miniature.verdict is Unsupported else DOES_NOT_CONFORM)
    found = verdicts(report)
    assert found.keys() == undisturbed.keys()
    for key, verdict in found.items():
        expected = STATUS[miniature.verdict] if key[0] == SPOILT else undisturbed[key]["status"]
        assert (key, verdict["status"]) == (key, expected)


@pytest.mark.parametrize("behaviour", [miniature.behaviour for miniature in AT_START if not miniature.hangs])
def test_what_does_not_start_ends_a_run_before_it_begins(behaviour: str, tmp_path: Path) -> None:
    assert run(command(behaviour), tmp_path / "report.jsonl") == DOES_NOT_START
