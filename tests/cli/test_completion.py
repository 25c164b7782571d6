"""Completion: what a shell gets to offer, from words that are not finished."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from conformance.adapters.opening import spellings
from conformance.cli.main import cli
from conformance.contract.dtypes import NAMES
from conformance.fixtures import case_ids
from conformance.losses import KNOWN, PROFILES
from conformance.suite import FAMILIES
from tests.command_line import Lossconf, lossconf_in

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
class Layer: ...
class _Hidden: ...
def loss(x, y): ...
raise SystemExit
"""


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def offered(lossconf: Lossconf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What bash offers for the last of the words."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "torn.py").write_text("class (")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "deep.py").write_text(MODULE)

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("_LOSSCONF_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["lossconf", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        told = lossconf()
        monkeypatch.delenv("_LOSSCONF_COMPLETE")
        assert told.err == ""
        return [line.partition(",")[2] for line in told.out.splitlines() if line]

    return complete


@pytest.mark.parametrize(
    ("words", "all_of"),
    [
        (("run", "--layer", ""), [*KNOWN, "net"]),
        (("run", "--family", ""), FAMILIES),
        (("run", "--profile", ""), PROFILES),
        (("run", "--dtype", ""), NAMES),
        (("run", "--as", ""), [loss.type for loss in KNOWN.values()]),
        (("run", "--case", ""), case_ids()),
        (("show", ""), case_ids()),
        (("mutants", "--layer", ""), [*KNOWN, "net"]),
        (("bench", "--layer", ""), [*KNOWN, "net"]),
        (("export", "x", "--family", ""), FAMILIES),
        (("losses", "show", ""), [loss.type for loss in KNOWN.values()]),
    ],
)
def test_a_word_is_completed_to_all_that_it_may_be(
    words: tuple[str, ...], all_of: list[str], offered: Callable[..., list[str]]
) -> None:
    assert set(all_of) <= set(offered(*words))
    some = next(iter(all_of))
    assert set(offered(*words[:-1], some[:4])) == {each for each in offered(*words) if each.startswith(some[:4])}


@pytest.mark.parametrize("command", ["run", "smoke", "bench"])
def test_implementations_are_adapters_and_what_is_there_for_them(
    command: str, offered: Callable[..., list[str]]
) -> None:
    names = offered(command, "")
    assert {name.rstrip(":") for name in names} >= set(spellings())
    assert {"torch", "torch:", "direct:", "numba-cpu"} <= set(names)
    assert "direct" not in names and "numba-cpu:" not in names
    assert offered(command, "python-layer:m") == ["python-layer:mine.py:Layer"]
    assert offered(command, "python-layer:inner/") == ["python-layer:inner/deep.py:Layer"]
    assert offered(command, "direct:mine:") == ["direct:mine:Layer"]
    assert offered(command, "torch:") == ["torch:mine:loss"]
    assert offered(command, "process:in") == ["process:inner/"]
    assert offered(command, "process:inner/") == ["process:inner/deep.py"]
    assert offered(command, "nobody:in") == []


@pytest.mark.parametrize("command", ["explain", "repro"])
def test_cases_are_those_that_fail_in_the_report(
    command: str, offered: Callable[..., list[str]], lossconf: Lossconf, tmp_path: Path
) -> None:
    wrong = """
        class Wrong:
            type = "EuclideanLoss"
            def forward(self, bottom):
                return 0.5
            def backward(self, top_diff, bottom, propagate_down):
                return bottom
        """
    (tmp_path / "wrong.py").write_text(dedent(wrong))
    few = ("--family", "gradients", "--layer", "euclidean_loss", "-j", "0", "--in-process")
    ran = lossconf("run", "direct:wrong:Wrong", *few, "--report", "it.jsonl")
    assert ran.code == 1, ran.err
    found = offered(command, "it.jsonl", "gradients/")
    assert found and all(name.startswith("gradients/euclidean_loss/") for name in found)
    assert offered(command, "absent.jsonl", "") == []
    assert offered(command, "wrong.py", "") == []


def test_every_implementation_and_selection_of_a_command_is_completed() -> None:
    """A new command with one of these words has its completion, too."""
    wanted = {"implementation", "implementations", "--layer", "--family", "--profile", "--as"}
    without = [
        f"{name} {parameter.opts[0]}"
        for name in cli.list_commands(None)  # type: ignore[arg-type]
        for parameter in cli.get_command(None, name).params  # type: ignore[arg-type,union-attr]
        if wanted & set(parameter.opts) and parameter._custom_shell_complete is None
    ]
    assert without == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="not run: needs bash")
def test_the_script_completes_words_with_colons_in_bash(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    tool = tmp_path / "lossconf"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m conformance "$@"\n')
    tool.chmod(0o755)
    script = """
        eval "$(lossconf completion bash)"
        case $COMP_WORDBREAKS in *:*) exit 1;; esac
        COMP_WORDS=(lossconf smoke direct:m) COMP_CWORD=2
        _lossconf_completion lossconf && echo "${COMPREPLY[@]}"
    """
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "direct:mine:Layer\n"), ran.stderr
