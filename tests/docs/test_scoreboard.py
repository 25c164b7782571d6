"""The project's scoreboard: the page is what is kept, and the implementations on it compute what their files say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.opening import open_implementation
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.judge.judgement import judge
from conformance.losses import LOSSES
from conformance.views.scoreboard import read_scoreboard
from docs.scoreboard import KEPT, PAGE, ROOT, SUBJECTS, drawn, site

EXAMPLES = ROOT / "docs" / "examples"
FRAMEWORKS = EXAMPLES / "frameworks"
NEEDS = {
    "optax": ("optax",),
    "tensorflow": ("tensorflow",),
    "paddle": ("paddle",),
    "onnxruntime": ("onnx", "onnxruntime"),
}


def test_the_page_is_drawn_from_what_is_kept() -> None:
    assert drawn() in PAGE.read_text("utf-8"), "python -m docs.scoreboard draws it anew"


def test_every_subject_is_kept_and_every_file_of_one_is_there() -> None:
    entries = [entry.name for entry in read_scoreboard(KEPT).entries]
    assert len(entries) >= 8
    assert entries == [name for subject in SUBJECTS if (name := subject.get("as", subject["name"])) in entries]
    assert all((ROOT / subject.get("folder", ".")).is_dir() for subject in SUBJECTS)


def test_the_site_is_made_of_what_is_kept(tmp_path: Path) -> None:
    site(tmp_path)
    assert (tmp_path / "scoreboard.json").read_text("utf-8") == KEPT.read_text("utf-8")
    assert len(list((tmp_path / "implementations").iterdir())) == len(read_scoreboard(KEPT).entries)


@pytest.mark.parametrize("name", NEEDS)
def test_a_port_computes_its_losses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not all(map(importlib.util.find_spec, NEEDS[name])):
        pytest.skip("not run: it is not installed (tox -e scoreboard)")
    monkeypatch.chdir(FRAMEWORKS)
    with closing(open_implementation(f"direct:{name}_losses")) as implementation:
        computes(implementation, ["softmax_with_loss", "euclidean_loss", "hinge_loss", "sigmoid_cross_entropy_loss"])


def test_convnetjs_computes_a_softmax_and_four_times_the_loss_of_its_gradient() -> None:
    """Its regression layer returns 2 d^2 and the gradient d, which is that of d^2 / 2."""
    found = ["node", "-e", "require('convnetjs')"]
    if shutil.which("node") is None or subprocess.run(found, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("not run: needs Node.js and convnetjs")
    with closing(open_implementation(f"process:node {EXAMPLES / 'node' / 'convnetjs.js'}")) as implementation:
        computes(implementation, ["softmax_with_loss"])
        case = LOSSES["euclidean_loss"].plain.case("plain")
        answer = implementation.run(case, "float64")
        assert isinstance(answer, Outcome)
        half = np.sum((case.inputs["x"] - case.inputs["z"]) ** 2) / (2 * len(case.inputs["x"]))
        np.testing.assert_allclose(answer.data["loss"].item(), 4 * half)


def computes(implementation: Implementation, stems: list[str]) -> None:
    """Holds that the plain case of each loss that is claimed passes in both types."""
    claimed = [stem for stem in stems if LOSSES[stem].type in implementation.describe().layers]
    assert claimed
    for stem in claimed:
        for dtype in ("float32", "float64"):
            case = LOSSES[stem].plain.case(f"plain/{stem}", weights=(2.5,))
            judged = judge(
                "plain", [f"{stem}.forward", f"{stem}.backward"], case, implementation.run(case, dtype), dtype
            )
            assert {verdict.status for verdict in judged} == {Status.PASSED}
