"""`lossconf init`: what it writes runs, what exists stays, and nobody is asked where nobody answers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from conformance.cli import init_command
from conformance.cli.init_command import BASELINE, KINDS, WORKFLOW
from conformance.gate import read_baseline
from tests.command_line import Lossconf, lossconf_in

ROOT = Path(__file__).resolve().parents[2]
FEW = ("--family", "loss_weight", "--family", "golden", "-k", "plain or saturated-88", "-j", "0", "--in-process")


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    monkeypatch.syspath_prepend(str(tmp_path))
    return lossconf_in(tmp_path, monkeypatch, capsys)


def gate_step(folder: Path) -> dict[str, Any]:
    """What the workflow gives to the action."""
    (job,) = yaml.safe_load((folder / WORKFLOW).read_text("utf-8"))["jobs"].values()
    (step,) = [step for step in job["steps"] if "caffe-loss-conformance@" in step["uses"]]
    given: dict[str, Any] = step["with"]
    return given


@pytest.mark.parametrize("kind", [kind for kind, has in KINDS.items() if has.spelled])
def test_a_stub_passes_what_the_command_that_is_printed_asks(kind: str, lossconf: Lossconf, tmp_path: Path) -> None:
    if KINDS[kind].extra:
        pytest.importorskip(KINDS[kind].extra)
    name = KINDS[kind].name.replace("my_", f"my_{kind.replace('-', '_')}_")  # modules stay imported
    told = lossconf("init", "--kind", kind, name)
    assert told.code == 0
    (line,) = re.findall(r"^then: lossconf (.*)$", told.out, re.MULTILINE)
    ran = lossconf(*shlex.split(line), *FEW)
    assert ran.code == 7  # in the judge's process nothing is decided, else it would be 0
    assert re.search(r"; [1-9]\d* of \d+ musts passed, 0 failed", ran.out)


@pytest.mark.parametrize("kind", KINDS)
def test_the_workflow_gives_the_action_what_it_takes(kind: str, lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("init", "--kind", kind)
    given = gate_step(tmp_path)
    assert given.keys() <= yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["inputs"].keys()
    assert KINDS[kind].name in given["implementation"]
    assert given["baseline"] == str(BASELINE)
    assert read_baseline(tmp_path / BASELINE).known == ()


def test_nothing_that_exists_is_written_over(lossconf: Lossconf, tmp_path: Path) -> None:
    mine = {Path("my_loss.py"): "# mine", BASELINE: "schema = 1\n", WORKFLOW: "on: push\n"}
    for path, text in mine.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    told = lossconf("init", "--kind", "python-layer", "my_loss.py:Mine")
    assert {path: (tmp_path / path).read_text() for path in mine} == mine
    assert told.out.count("is there already, and stays as it is") == len(mine)
    assert "python-layer:my_loss.py:Mine" in told.out and "--as" not in told.out


def test_a_worker_is_the_program_that_is_compiled(lossconf: Lossconf, tmp_path: Path) -> None:
    told = lossconf("init", "--kind", "worker", "mine")
    assert (tmp_path / "mine.cpp").read_text("utf-8") == lossconf("worker", "--cpp").out
    assert "mine.cpp -o mine" in told.out and "smoke process:mine" in told.out


def test_an_installed_module_gets_no_stub(lossconf: Lossconf, tmp_path: Path) -> None:
    assert "no stub" in lossconf("init", "--kind", "direct", "json:JSONDecoder").out
    assert not (tmp_path / "json.py").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no terminal to ask on: say --kind, one of python-layer, direct"),
        (("--kind", "python-layer", "my_loss.py"), "needs FILE.py:CLASS, as in my_loss.py:MyLoss"),
        (("--kind", "torch", "my-kernel:loss"), "needs MODULE:FUNCTION"),
        (("--kind", "worker", "--as", "EuclideanLoss"), "--kind worker has no --as"),
        (("--kind", "torch", "--as", "Two Words"), "this is no layer type"),
        (("--kind", "direct", f"{BASELINE.stem}.x.y:Z"), "cannot be made"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[str, ...], told: str, lossconf: Lossconf, tmp_path: Path
) -> None:
    (tmp_path / BASELINE.stem).write_text("a file where a folder would be")
    ended = lossconf("init", *arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert told in ended.err
    assert not (tmp_path / WORKFLOW).exists()


def test_a_person_is_asked_and_may_take_what_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init_command, "_someone_is_there", lambda: True)
    ended = CliRunner().invoke(init_command.command, input="nonsense\npython-layer\n\n")
    assert ended.exit_code == 0, ended.output
    assert all(has.what in ended.output for has in KINDS.values())
    assert (tmp_path / "my_loss.py").exists()
