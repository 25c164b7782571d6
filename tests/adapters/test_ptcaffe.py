"""ptcaffe 1.1, a Caffe in PyTorch from PyPI: its faults come out as failures of the requirements they break.

Run by ``tox -e ptcaffe``, which installs it; skipped where it is not installed.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.direct import open_direct
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.fixtures import load
from conformance.judge.judgement import judge
from conformance.record.reader import read_report
from conformance.suite import all_checks
from tests.explained import Explainer, Loss, Situation, below_floor, ignored_not_finite, listed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adapters" / "ptcaffe.md"
EXAMPLE = ROOT / "docs" / "examples" / "ptcaffe"
S, E = "SoftmaxWithLoss", "EuclideanLoss"


def asks(loss: Loss, **options: object) -> bool:
    """Whether the loss_param sets all of these; None: whatever value."""
    param = loss.param.loss_param
    return all(param.has(name) and value in (None, getattr(param, name)) for name, value in options.items())


SITUATIONS: Mapping[str, Situation] = {
    "normalization-ignored": lambda loss: loss.type == S and asks(loss, normalization=None),
    "normalize-false-sums": lambda loss: loss.type == S and asks(loss, normalize=False),
    "nothing-counts": lambda loss: loss.type == S and bool(loss.ignored.all()),
    "euclidean-normalizes": lambda loss: loss.type == E and asks(loss, normalization=None),
    "euclidean-broadcasts": lambda loss: loss.type == E and loss.bottoms[0].shape != loss.bottoms[1].shape,
    "axes": lambda loss: loss.type == S and (loss.scores.ndim not in (2, 4) or loss.param.softmax_param.axis < 1),
    "no-floor": lambda loss: loss.type == S and below_floor(loss),
    "ignored-not-finite": lambda loss: loss.type == S and ignored_not_finite(loss),
    "weight-in-double": lambda loss: any(
        weight != float(np.float32(weight)) for weight in written_weights(loss.case.net)
    ),
    "formats": lambda loss: not loss.param.top or re.search(r"\blayers\s*\{|\binput:", loss.case.net) is not None,
    "parameters": lambda loss: re.search(r"param \{ *(name|lr_mult: 0)", loss.case.net) is not None,
    "propagate-down-ignored": lambda loss: "propagate_down" in loss.case.net,
    "top-of-one": lambda loss: loss.type in (S, E),
}
"""Each reason of the page, and when it applies; refusals are one more."""


def written_weights(net: str) -> list[float]:
    """The loss weights as the prototxt has them, before they are rounded to float."""
    return [float(text) for text in re.findall(r"loss_weight: *([-+.\deE]+)", net)]


@pytest.fixture(scope="module")
def ptcaffe() -> Implementation:
    if importlib.util.find_spec("ptcaffe") is None:
        pytest.skip("not run: ptcaffe 1.1 is not installed (tox -e ptcaffe)")
    sys.path.append(str(EXAMPLE))
    return open_direct("ptcaffe_net:Ptcaffe")


def test_the_page_has_a_section_for_every_reason() -> None:
    assert list(listed(PAGE)) == [*SITUATIONS, "refused"]


@pytest.mark.parametrize(
    ("case_id", "requirement", "got"),
    [
        ("softmax_with_loss/mp-normalize-false", "softmax_with_loss.deprecated-normalize", "sum"),
        ("softmax_with_loss/all-ignored-BATCH_SIZE", "softmax_with_loss.all-ignored", "nan"),
        ("euclidean_loss/mp-loss-param", "euclidean_loss.ignores-loss-param", "undivided"),
        ("softmax_with_loss/grid-006", "softmax_with_loss.normalization", "mean"),
    ],
)
def test_a_known_fault_fails_its_requirement(ptcaffe: Implementation, case_id: str, requirement: str, got: str) -> None:
    fixture = load(case_id)
    answer, right = ptcaffe.run(fixture.case, "float64"), fixture.expected("float64")
    assert isinstance(answer, Outcome) and isinstance(right, Outcome)
    batch = len(fixture.case.inputs[next(iter(fixture.case.inputs))])
    ratio = {"sum": batch, "undivided": batch, "nan": np.nan, "mean": 2}[got]
    np.testing.assert_allclose(answer.data["loss"].item(), right.data["loss"].item() * ratio, rtol=1e-12)
    verdicts = judge(case_id, fixture.requirements, fixture.case, answer, "float64")
    assert requirement in {verdict.requirement for verdict in verdicts if verdict.status is Status.FAILED}


@pytest.mark.parametrize("case_id", ["softmax_with_loss/mp-weight-1", "euclidean_loss/grid-002"])
def test_what_ptcaffe_computes_rightly_passes(ptcaffe: Implementation, case_id: str) -> None:
    fixture = load(case_id)
    for dtype in ("float32", "float64"):
        verdicts = judge(case_id, fixture.requirements, fixture.case, ptcaffe.run(fixture.case, dtype), dtype)
        wrong = {v.requirement for v in verdicts if v.status is not Status.PASSED}
        assert wrong <= {"net.top-shape"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stem", ["softmax_with_loss", "euclidean_loss"])
def test_every_failure_of_its_losses_has_a_reason_on_the_page(ptcaffe: Implementation, stem: str) -> None:
    explainer = Explainer(SITUATIONS, listed(PAGE), fine=(Status.UNSUPPORTED, Status.INCONCLUSIVE))
    explainer.run(ptcaffe, (check for check in all_checks() if check.layer == stem))
    assert not explainer.unexplained
    assert not explainer.stale(f"{stem}.")


@pytest.mark.slow
def test_the_command_of_the_page_runs(ptcaffe: Implementation, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conformance", "run", "direct:ptcaffe_net:Ptcaffe", "--layer", "euclidean_loss"]
    ran = subprocess.run(
        [*command, "--report", str(tmp_path / "report.jsonl")], cwd=EXAMPLE, capture_output=True, text=True
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    report = read_report(tmp_path / "report.jsonl")
    failed = {each.verdict.requirement for each in report.judged if each.verdict.status is Status.FAILED}
    assert "euclidean_loss.ignores-loss-param" in failed
    assert report.counts["passed"] > 300
