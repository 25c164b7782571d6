"""`conformance.testing`: the suite inside somebody else's pytest, run in a process of its own as they would run it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.contract.errors import UsageError
from conformance.testing import conformance_checks
from tests.direct_miniatures import Euclidean
from tests.miniatures import command

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guides" / "pytest.md"
DIRECT = ROOT / "docs" / "adapters" / "direct.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project: the layer of the page on `direct:`, and the tests of the page on pytest."""
    layer = re.findall(r"```python\n(.*?)```", DIRECT.read_text("utf-8"), re.DOTALL)[0]
    (tmp_path / "mylayers.py").write_text(layer)
    tests = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    (tmp_path / "test_losses.py").write_text(tests)
    return tmp_path


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
    return subprocess.run(line, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_three_lines_of_the_page_make_a_test_of_every_check(project: Path) -> None:
    ran = run_pytest(project, "-q", "-k", "grid-00 or loss_weight")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"(\d+) passed", ran.stdout)
    listed = run_pytest(project, "--collect-only", "-q").stdout.splitlines()
    assert "test_losses.py::test_euclidean[euclidean_loss/grid-001-float32]" in listed
    assert "test_losses.py::test_euclidean[loss_weight/euclidean_loss/scaling-float64]" in listed
    assert not [line for line in listed if "hinge_loss" in line]


def test_the_page_has_three_lines() -> None:
    tests = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    assert len([line for line in tests.splitlines() if line and not line.startswith("#")]) == 3


def test_a_layer_that_ignores_its_weight_fails_and_says_why(project: Path) -> None:
    layer = (project / "mylayers.py").read_text()
    (project / "mylayers.py").write_text(layer.replace("top_diff[0] * ", ""))
    ran = run_pytest(project, "-q", "-k", "grid-001 or grid-010")
    assert ran.returncode == 1
    assert "euclidean_loss.loss-weight failed (euclidean_loss/grid-010, float32)" in ran.stdout
    assert "again: lossconf run direct:mylayers:EuclideanLoss --case euclidean_loss/grid-010" in ran.stdout
    assert "conformance/testing.py" not in ran.stdout.replace("\\", "/"), "a traceback of ours helps nobody"


def test_options_narrow_the_checks(project: Path) -> None:
    (project / "test_losses.py").write_text(
        "from conformance.testing import conformance_checks\n"
        "from mylayers import EuclideanLoss\n"
        'test_few = conformance_checks({"EuclideanLoss": EuclideanLoss}, dtypes=["float32"], families=["contract"])\n'
    )
    ran = run_pytest(project, "-v")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = re.findall(r"::(test_few\[\S+\]) PASSED", ran.stdout)
    assert names
    assert all(name.startswith("test_few[contract/") and name.endswith("-float32]") for name in names)


def test_what_is_undecided_is_skipped_with_its_reason(project: Path) -> None:
    (project / "mylayers.py").write_text(
        "import numpy as np\n"
        "class EuclideanLoss:\n"
        "    def forward(self, bottom):\n"
        "        raise NotImplementedError('not yet')\n"
        "    def backward(self, top_diff, bottom, propagate_down):\n"
        "        raise NotImplementedError('not yet')\n"
    )
    ran = run_pytest(project, "-q", "-rs", "-k", "grid-001", "--junitxml", "junit.xml")
    assert ran.returncode == 0
    assert "unsupported: not yet" in ran.stdout
    assert len(ElementTree.parse(project / "junit.xml").findall(".//skipped")) == 2


def test_what_is_only_recommended_is_a_property_and_no_failure(project: Path) -> None:
    (project / "test_losses.py").write_text(
        "from dataclasses import replace\n"
        "from conformance.adapters.reference import ReferenceImplementation\n"
        "from conformance.testing import conformance_checks\n"
        "class Net(ReferenceImplementation):\n"
        "    def run(self, case, dtype):\n"
        "        outcome = super().run(case, dtype)\n"
        "        data, diff = ({**held, 'loss': held['loss'].reshape(1)} for held in (outcome.data, outcome.diff))\n"
        "        return replace(outcome, data=data, diff=diff)\n"
        "test_net = conformance_checks(Net(), layers=['euclidean_loss'], families=['contract'])\n"
    )
    ran = run_pytest(project, "-q", "-k", "passes-float32", "--junitxml", "junit.xml")
    assert ran.returncode == 0, ran.stdout
    properties = ElementTree.parse(project / "junit.xml").findall(".//testcase//property")
    assert {each.get("name") for each in properties} == {"should"}
    assert any("top-shape: loss has shape (1,) for ()" in str(each.get("value")) for each in properties)


def test_a_process_is_tested_by_its_spelling_and_may_die(project: Path) -> None:
    spec = f"process:{shlex.join(command('segfaults', 'dim: 4 dim: 5', honest=True))}"
    (project / "test_losses.py").write_text(
        "from conformance.testing import conformance_checks\n"
        f"test_it = conformance_checks({spec!r}, layers=['euclidean_loss'], families=['loss_weight'])\n"
    )
    ran = run_pytest(project, "-q", "-k", "float32 and (one-sample or plain)")
    assert ran.returncode == 1
    assert "euclidean_loss.loss-weight crashed" in ran.stdout
    assert "died by SIGSEGV" in ran.stdout
    assert re.search(r"\d+ passed", run_pytest(project, "-q", "-k", "float32 and spatial").stdout)


def test_what_does_not_start_is_one_failing_test(project: Path) -> None:
    spec = f"process:{shlex.join(command('exits_at_start'))}"
    (project / "test_losses.py").write_text(
        f"from conformance.testing import conformance_checks\ntest_it = conformance_checks({spec!r})\n"
    )
    ran = run_pytest(project, "-q")
    assert ran.returncode == 1
    assert "does not start" in ran.stdout
    assert "no Caffe here" in ran.stdout
    assert "1 failed" in ran.stdout


def test_a_name_that_does_not_exist_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="did you mean golden"):
        conformance_checks(Euclidean, families=["goldn"])
    with pytest.raises(ValueError, match="is no implementation"):
        conformance_checks(object())
