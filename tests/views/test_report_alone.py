"""Every view of a report is rendered where there is no judge, no suite and no reference: from the report alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.contract.version import VERSION
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence, evidence_of
from conformance.record.grade import Grade
from conformance.record.reader import read_report
from conformance.views.words import NOT_FORETOLD
from tests.reports import failed, failing_run, passed, report_of, saved

CASE = "loss_weight/euclidean_loss/plain/tenth"
FORBIDDEN = (
    *(f"conformance.{name}" for name in ("judge", "suite", "adapters", "losses", "engine", "fixtures")),
    *("refimpl.net", "refimpl.layers", "refimpl.prototxt"),
)

PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({FORBIDDEN!r}))
from conformance.cli.main import main
main(sys.argv[1:])
"""

COMMANDS = {
    "terminal": ("report", "{report}"),
    "html": ("report", "{report}", "--html", "-"),
    "junit": ("report", "{report}", "--junit", "-"),
    "markdown": ("report", "{report}", "--markdown", "-"),
    "badge": ("report", "{report}", "--badge", "-"),
    "explain": ("explain", "{report}", "{case}"),
    "repro": ("repro", "{report}", "{case}"),
    "check": ("check", "{report}"),
    "baseline": ("baseline", "update", "--from", "{report}"),
    "diff": ("diff", "{report}", "{report}"),
    "merge": ("merge", "{report}", "{report}", "--markdown"),
    "scoreboard": ("scoreboard", "{report}", "-o", "site"),
}


def alone(folder: Path, name: str, report: Path, case: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that cannot import what judges or computes."""
    arguments = [word.format(report=report, case=case) for word in COMMANDS[name]]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    line = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=folder, env={**os.environ, **path}, timeout=60)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return failing_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_report_is_all_that_is_needed(name: str, report: Path, tmp_path: Path) -> None:
    ended = alone(tmp_path, name, report, CASE)
    assert ended.returncode in (0, 1), ended.stderr
    if name in ("terminal", "html", "junit", "markdown", "explain", "repro"):
        assert "off by a factor of the loss" in ended.stdout
    if name in ("html", "explain"):
        assert "L = sum_i" in ended.stdout
    if name == "repro":
        assert "0.05000000074505806" in ended.stdout


@pytest.mark.parametrize("name", ["html", "explain", "repro"])
def test_what_was_found_then_is_shown(name: str, report: Path, tmp_path: Path) -> None:
    """Whatever the judge would say today: the numbers, the bound and the formula are the report's."""
    found = read_report(report)
    piece = next(each for each in evidence_of(found) if each.check == CASE)
    arrays = tuple(replace(array, want=array.want + 1000, bound=array.bound + 7) for array in piece.arrays)
    then = replace(piece, check="h/2", arrays=arrays, formula="L = something else")
    path = tmp_path / "then.jsonl"
    saved(path, report_of(passed("h/1"), failed("h/2"), evidence=[then.to_json()]))
    shown = alone(tmp_path, name, path, "h/2").stdout
    assert ("1000.05" in shown, f"lossconf {VERSION}" in shown or "something else" in shown) == (True, True)


@pytest.mark.parametrize("name", ["terminal", "html", "markdown", "explain"])
def test_a_case_beside_those_that_a_cause_foretells_is_told_as_such(name: str, report: Path, tmp_path: Path) -> None:
    foretold = next(each for each in evidence_of(read_report(report)) if each.check == CASE)
    pieces = [replace(foretold, check=f"h/{i}") for i in (1, 2)]
    beside = replace(foretold, check="h/3", causes={Cause.UNNAMEABLE: Grade.HINT}, first=frozenset())
    failures = [failed(piece.check) for piece in (beside, *pieces)]
    path = tmp_path / "beside.jsonl"
    saved(path, report_of(*failures, evidence=[piece.to_json() for piece in (beside, *pieces)]))
    shown = " ".join(alone(tmp_path, name, path, "h/3").stdout.split())
    assert "off by a factor of the loss" in shown
    if name != "explain":
        assert "also 1 case that it does not foretell" in shown
        assert re.search(r"first(: | at )h/1", shown)
    if name in ("html", "explain"):
        assert NOT_FORETOLD in shown
    assert NOT_FORETOLD not in alone(tmp_path, "explain", path, "h/1").stdout


@pytest.mark.parametrize(
    "layer",
    [
        'type: "DummyData" dummy_data_param { shape { dim: 4000000 } }',
        'type: "Input" input_param { shape { dim: 60000 dim: 60000 } }',
        'type: "Tile" bottom: "x" tile_param { axis: 0 tiles: 2000000000 }',
        'type: "InfogainLoss" bottom: "x" bottom: "y" infogain_loss_param { source: "PIPE" }',
    ],
)
def test_a_net_of_a_report_is_never_run(layer: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never-written")  # whoever reads it waits for ever
    net = f'layer {{ name: "a" top: "a" {layer.replace("PIPE", str(tmp_path / "never-written"))} }}'
    path = tmp_path / "report.jsonl"
    for answer in (Outcome("float32", 0.0), None):
        piece = Evidence("h/2", "float32", {Cause.SIGN: Grade.EXACT}, Case("h/2", net), answer)
        saved(path, report_of(passed("h/1"), failed("h/2"), evidence=[piece.to_json()]))
        for name in ("html", "explain"):
            ended = alone(tmp_path, name, path, "h/2")
            assert (ended.returncode, "of the opposite sign" in ended.stdout) == (0, True), ended.stderr
