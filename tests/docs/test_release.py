"""What a release brings beside the wheel: the action, the hook, the image, the citation."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.cli.main import cli
from conformance.contract.version import VERSION

ROOT = Path(__file__).parents[2]
GRADIENT_DOUBLED = """
class Doubled:
    type = "EuclideanLoss"

    def forward(self, bottom):
        self.difference = bottom[0] - bottom[1]
        return [(self.difference**2).sum() / (2 * len(bottom[0]))]

    def backward(self, top_diff, bottom, propagate_down):
        slope = 2 * top_diff[0] * self.difference / len(bottom[0])
        return [slope if propagate_down[0] else None, -slope if propagate_down[1] else None]
"""


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


class Runner:
    """What runs an action's shell steps, as far as this action goes: contexts, outputs, summary, bash's options."""

    def __init__(self, folder: Path, **inputs: str) -> None:
        self.action = read("action.yml")
        defaults = {name: field.get("default", "") for name, field in self.action["inputs"].items()}
        program = folder / "lossconf"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m conformance "$@"\n')
        program.chmod(0o755)
        self.folder = folder
        self.known = {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
        self.known["steps.install.outputs.lossconf"] = str(program)

    def step(self, name: str) -> int:
        """Run the step of that id, or the last one; its exit code."""
        steps = self.action["runs"]["steps"]
        step = next((each for each in steps if each.get("id") == name), steps[-1])
        files = {key: self.folder / key for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        set_here = {key: self._filled(value) for key, value in step["env"].items()}
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
        environment |= set_here | {key: str(path) for key, path in files.items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        code = subprocess.run(command, cwd=self.folder, env=environment, check=False).returncode
        if files["GITHUB_OUTPUT"].exists():
            for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                key, _, value = line.partition("=")
                self.known[f"steps.{name}.outputs.{key}"] = value
        return code

    def _filled(self, value: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: self.known[found[1]], value)


PART = "--layer euclidean_loss --family golden --dtype float64 -j 1"


def test_the_action_reports_what_fails_and_ends_as_the_run_did(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GRADIENT_DOUBLED)
    runner = Runner(tmp_path, implementation="direct:mine:Doubled", arguments=PART, report="a folder")
    assert runner.step("run") == 0
    assert runner.known["steps.run.outputs.exit-code"] == "1"
    written = {path.name for path in (tmp_path / "a folder").iterdir() if path.stat().st_size}
    assert written == {"report.jsonl", "report.html", "report.md", "junit.xml", "badge.json"}
    assert "does not conform" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert runner.step("the last") == 1


def test_the_action_takes_a_baseline(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GRADIENT_DOUBLED)
    runner = Runner(tmp_path, implementation="direct:mine:Doubled", arguments=PART, baseline="absent.toml")
    assert runner.step("run") == 0
    assert runner.known["steps.run.outputs.exit-code"] == "2"  # in a line of its own, before anything ran
    assert runner.step("the last") == 2


def test_the_action_hands_inputs_to_the_shell_as_variables_alone() -> None:
    """An input that stood in a script's text could be a command."""
    assert not [step for step in read("action.yml")["runs"]["steps"] if "${{" in step.get("run", "")]


def test_the_page_names_every_input_of_the_action() -> None:
    page = (ROOT / "docs/guides/ci.md").read_text("utf-8")
    assert [name for name in read("action.yml")["inputs"] if f"`{name}`" not in page] == []


def test_the_hook_is_a_command_that_parses() -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    program, command, *arguments = hook["entry"].split()
    assert program == "lossconf"
    found = cli.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None and found.make_context(command, [*arguments, str(ROOT / "README.md")])
    assert re.search(hook["files"], "models/train_val.prototxt")


def test_the_citation_is_of_this_version() -> None:
    assert read("CITATION.cff")["version"] == VERSION


@pytest.mark.parametrize("name", ["pyproject.toml", "README.md", "LICENSE", "refimpl", "conformance", "fixtures"])
def test_the_image_is_built_of_what_is_there(name: str) -> None:
    """What the package is made of is not among what the build leaves out."""
    ignored = (ROOT / ".containerignore").read_text("utf-8").split()
    assert (ROOT / name).exists() and not [each for each in ignored if fnmatchcase(name, each.removeprefix("**/"))]
