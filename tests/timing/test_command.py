"""`lossconf bench` as a person types it, on tiny sizes."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from conformance.contract.errors import UsageError
from conformance.timing.against import extracted
from conformance.timing.result import read_result
from tests.command_line import Lossconf, lossconf_in
from tests.miniatures import well_behaved

ROOT = Path(__file__).parents[2]
FEW = ("--layer", "hinge_loss", "--size", "6x5", "--dtype", "float32", "--threads", "1")
WRONG = "process:" + shlex.join(well_behaved())


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a commit that has kernels and one before it that has not."""
    root = tmp_path / "checkout"
    (root / "refimpl").mkdir(parents=True)
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "init.defaultBranch=main")

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "nothing")
    (root / "refimpl" / "__init__.py").write_text("AGE = 'old'\n")
    git("add", ".")
    git("commit", "-m", "old")
    (root / "refimpl" / "__init__.py").write_text("AGE = 'new'\n")
    git("commit", "-am", "new")
    return root


def test_a_run_prints_a_table_and_keeps_a_result(lossconf: Lossconf, tmp_path: Path) -> None:
    told = lossconf("bench", "numba-cpu", "reference", *FEW, "--rounds", "2", "--mode", "both")
    assert told.code == 0
    assert "hinge_loss" in told.out
    assert "hinge_loss 6x5 float32 (0 more)" in told.err
    (measured,) = read_result(tmp_path / "bench.json").measured
    assert len(measured.of("reference", "both")) == 2
    assert measured.verdicts["numba-cpu"]["accepted"]


def test_naming_the_command_is_the_same(lossconf: Lossconf, tmp_path: Path) -> None:
    told = lossconf("bench", "run", "numba-cpu", *FEW, "--rounds", "1", "--result", "mine.json")
    assert told.code == 0
    assert read_result(tmp_path / "mine.json").specs == ("numba-cpu",)
    assert json.loads((tmp_path / "mine.json").read_text())["settings"] == {"threads": 1, "rounds": 1}


def test_a_first_implementation_that_is_wrong_ends_with_1(lossconf: Lossconf) -> None:
    told = lossconf("bench", WRONG, "numba-cpu", *FEW, "--rounds", "1", "--mode", "both")
    assert told.code == 1
    assert "(wrong)" in told.out
    assert lossconf("bench", "numba-cpu", WRONG, *FEW, "--rounds", "1", "--mode", "both").code == 0


def test_a_first_implementation_that_does_not_start_ends_with_6(lossconf: Lossconf) -> None:
    told = lossconf("bench", "process:/no/such/program", *FEW)
    assert told.code == 6
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bench", "numba-cpu", "--layer", "hinge"), "did you mean hinge_loss?"),
        (("bench", "numba-cpu", "--size", "vast"), "no size 'vast'"),
        (("bench", "numba_cpu"), "did you mean numba-cpu"),
        (("bench", "compare", "absent.json"), "cannot read absent.json"),
        (("bench", "gate", "--against", "no-such-revision"), "neither a result's file"),
        (("bench", "gate", "reference", "--against", "HEAD"), "name an implementation or a file"),
        (("bench", "gate"), "Missing option '--against'"),
        (("bench", "compare"), "Missing argument"),
        (("bench", "goals", "absent.toml"), "cannot read goals from absent.toml"),
        (("bench", "goals", "absent.toml", "--peer", "caffe"), "--peer takes a name and an implementation"),
    ],
)
def test_mistakes_are_told_in_a_line(lossconf: Lossconf, words: tuple[str, ...], told: str) -> None:
    ended = lossconf(*words, *(FEW if words[1] == "numba_cpu" else ()))
    assert ended.code == 2
    assert told in ended.err


def test_results_are_compared(lossconf: Lossconf) -> None:
    lossconf("bench", "numba-cpu", *FEW, "--rounds", "1", "--result", "a.json")
    told = lossconf("bench", "compare", "a.json", "a.json")
    assert told.code == 0
    assert "hinge_loss" in told.out


@pytest.mark.slow
def test_a_gate_of_an_implementation_against_itself_says_something(lossconf: Lossconf) -> None:
    """Which of its three answers depends on the machine; that the exit code says the same does not."""
    told = lossconf("bench", "gate", "numba-cpu", "--against", "numba-cpu", *FEW)
    words = {0: "1 not slower", 1: "1 slower", 4: "1 not measured"}
    assert words[told.code] in told.out


@pytest.mark.slow
def test_a_gate_against_a_folder_takes_the_kernels_from_there(lossconf: Lossconf) -> None:
    told = lossconf("bench", "gate", "--against", str(ROOT), *FEW)
    assert told.code in (0, 1, 4)
    assert "hinge_loss 6x5 float32" in told.out


def test_a_gate_against_a_file_measures_what_it_has(lossconf: Lossconf) -> None:
    lossconf("bench", "numba-cpu", *FEW, "--rounds", "15", "--mode", "both", "--result", "then.json")
    told = lossconf("bench", "gate", "--against", "then.json", *FEW)
    assert told.code in (0, 1, 4)
    other = lossconf("bench", "gate", "--against", "then.json", "--layer", "euclidean_loss")
    assert other.code == 2
    assert "none of the problems" in other.err


def test_a_revision_is_taken_out_of_the_checkout_without_touching_it(checkout: Path, tmp_path: Path) -> None:
    tree = extracted("HEAD~1", tmp_path / "there", checkout)
    assert (tree / "refimpl" / "__init__.py").read_text() == "AGE = 'old'\n"
    assert (checkout / "refimpl" / "__init__.py").read_text() == "AGE = 'new'\n"


@pytest.mark.parametrize(
    ("revision", "told"), [("HEAD~2", "refimpl"), ("absent", "nor a revision"), ("--all", "nor a")]
)
def test_a_revision_without_kernels_or_none_at_all_is_refused(
    checkout: Path, tmp_path: Path, revision: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        extracted(revision, tmp_path / "there", checkout)
    with pytest.raises(UsageError, match="no checkout"):
        extracted("HEAD", tmp_path / "there", tmp_path)


@pytest.mark.slow
def test_goals_are_timed_and_end_with_what_came_of_them(lossconf: Lossconf, tmp_path: Path) -> None:
    goals = tmp_path / "goals.toml"
    text = 'implementation = "numba-cpu"\n[[goal]]\nsizes = ["6x5"]\ndtype = "float32"\n'
    goals.write_text(text + 'peer = "mine"\nratio = { hinge_loss = 1e-9 }\n')
    told = lossconf("bench", "goals", "goals.toml", "--rounds", "6", "--threads", "1", "--peer", "mine=reference")
    assert told.code in (0, 4)  # noise is no verdict
    assert lossconf("bench", "goals", "goals.toml", "--rounds", "6", "--threads", "1").code == 4
    goals.write_text(text + "memory = { hinge_loss = -1 }\n")
    told = lossconf("bench", "goals", "goals.toml", "--rounds", "1", "--threads", "1", "--result", "kept.json")
    assert told.code == 1
    assert "MISSED" in told.out
    assert read_result(tmp_path / "kept.json").specs == ("numba-cpu",)
