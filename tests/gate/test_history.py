"""The gate over the history of a project: real runs of a layer and a suite that change, and the exit code of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("conformance", "refimpl", "fixtures")
GATE = ("--baseline", "baseline.toml", "--lock", "lossconf.lock")
LAYER = """
import numpy as np

class EuclideanLoss:
    def forward(self, bottom):
        if {refuses}:
            raise NotImplementedError("no blob of four axes")
        self.difference = bottom[0] - bottom[1].reshape(bottom[0].shape)
        return np.sum(self.difference**2) / (2 * len(bottom[0]))

    def backward(self, top_diff, bottom, propagate_down):
        gradient = {factor} * self.difference / len(bottom[0])
        return gradient, -gradient.reshape(bottom[1].shape)

def describe():
    return {{"devices": ["{device}"], "dtypes": ["float32"]}}
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Project:
    """A folder with a layer, its baseline and its lock, and a suite of its own that can lose a file."""

    folder: Path

    def layer(self, factor: str = "top_diff[0]", refuses: str = "False", device: str = "cpu") -> None:
        """Write the layer anew."""
        text = LAYER.format(factor=factor, refuses=refuses, device=device)
        (self.folder / "mylayers.py").write_text(text)

    def lossconf(self, *arguments: str) -> tuple[int, str]:
        """A command's exit code, and what it printed."""
        command = [sys.executable, "-B", "-m", "conformance", *arguments]
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)
        return ended.returncode, ended.stdout + ended.stderr

    def gated(self) -> tuple[int, str]:
        """A run of the whole suite with its gate."""
        return self.lossconf("run", "-j", "1", "direct:mylayers", *GATE)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The suite's own code, with the golden cases of one layer: whole runs of it are quick."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "fixtures").iterdir():
        if folder.is_dir() and folder.name not in ("euclidean_loss", "tools"):
            shutil.rmtree(folder)
    return Project(tmp_path)


def test_a_history_of_real_runs_is_gated_step_by_step(project: Project) -> None:
    project.layer(factor="1.0")  # forgets the loss_weight
    assert project.lossconf("run", "-j", "1", "direct:mylayers")[0] == 1
    assert project.lossconf("baseline", "update", "--from", "report.jsonl")[0] == 0
    assert project.lossconf("baseline", "lock", "--from", "report.jsonl")[0] == 0
    assert project.gated()[0] == 0, "as it was"

    project.layer()
    code, told = project.gated()
    assert (code, "unexpected pass" in told) == (3, True), "fixed, and the baseline not told"
    assert project.lossconf("baseline", "update", "--from", "report.jsonl")[0] == 0
    assert project.lossconf("check", "report.jsonl", *GATE)[0] == 0, "fixed"

    project.layer(factor="-top_diff[0]")
    code, told = project.gated()
    assert (code, "new failure" in told) == (1, True), "broken"

    project.layer(refuses="bottom[0].ndim == 4")
    code, told = project.gated()
    assert (code, "not decided" in told, "fewer checks" in told) == (7, True, True), "cases skipped"

    project.layer()
    fixture = project.folder / "fixtures" / "euclidean_loss" / "grid-001.json"
    fixture.rename(project.folder / "kept.json")
    code, told = project.gated()
    assert (code, "euclidean_loss/grid-001[float32]" in told) == (4, True), "a test file deleted"
    assert project.lossconf("baseline", "lock", "--from", "report.jsonl")[0] == 0
    assert project.lossconf("check", "report.jsonl", *GATE)[0] == 0, "and meant to be"

    version = project.folder / "conformance" / "contract" / "version.py"
    version.write_text(version.read_text().replace('VERSION = "', 'VERSION = "9.'))
    (project.folder / "kept.json").rename(fixture)
    code, told = project.gated()
    assert (code, "1 check(s) are not in the lock" in told) == (0, True), "a new suite, which asks for more"

    project.layer(factor="np.float32(1.001) * top_diff[0]", device="cuda")
    assert project.gated()[0] == 1, "a failure on one device only"
    assert project.lossconf("baseline", "update", "--from", "report.jsonl", "--this-device")[0] == 0
    assert project.lossconf("check", "report.jsonl", *GATE)[0] == 0, "known there"
    on_cuda = (project.folder / "report.jsonl").rename(project.folder / "cuda.jsonl")
    project.layer()
    assert project.gated()[0] == 0, "and unknown on the other device, which it says nothing of"

    baseline = project.folder / "baseline.toml"
    baseline.write_text(baseline.read_text().replace('device = "cuda"', 'device = "cuda"\nexpires = 2020-01-01'))
    code, told = project.lossconf("check", on_cuda.name, *GATE)
    assert (code, "expired" in told) == (3, True), "an entry has expired"
    assert project.lossconf("check", "report.jsonl", *GATE)[0] == 0, "which is no matter of the other device"
    assert json.loads((project.folder / "report.jsonl").read_text().splitlines()[-1])["kind"] == "footer"
