"""Gradients without a formula, in float32: right layers of ten kinds are never found wrong, wrong ones never pass."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.pycaffe import PycaffeImplementation
from conformance.adapters.python_layer import open_python_layer
from conformance.contract.dtypes import FLOAT, TYPES
from conformance.contract.implementation import Implementation
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.derivative import Search, slope
from conformance.suite.formula_free import checks
from conformance.suite.slopes import slope_verdicts, slopes_of
from tests.command_line import Lossconf, lossconf_in

REAL = os.environ.get("LOSSCONF_CAFFE_PYTHON", "")
OWN = Path(__file__).parents[1] / "miniature_layers" / "own_losses.py"
RIGHT = ("LogCosh", "Absolute", "Huber", "Cauchy", "Cosine", "Quantile", "Poisson", "Focal", "Smoothed", "MultiMargin")
MISTAKES = ("sign", "twice", "large", "weightless", "element")


def verdicts_of(implementation: Implementation, name: str, mistake: str = "") -> list[Verdict]:
    """What the gradient's check says of the layer in float32."""
    snippet = f'module: "{OWN.stem}" layer: "{name}" param_str: "{mistake}"'
    snippet = f'layer {{ type: "Python" top: "l" python_param {{ {snippet} }} }}'
    (check,) = (check for check in checks((snippet,)) if check.id.endswith("/gradient"))
    return list(check.run(Session(implementation, implementation.describe(), FLOAT.name)))


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_layer_agrees_within_four_per_cent_in_float32(name: str) -> None:
    (verdict,) = verdicts_of(open_python_layer(f"{OWN}:{name}"), name)
    assert verdict.status is Status.PASSED, verdict.reason
    share = float(verdict.reason.split(" within ")[1].split(" %")[0])
    assert 0 < share < 4


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(
    "name", [name if name in ("Huber", "Focal") else pytest.param(name, marks=pytest.mark.slow) for name in RIGHT]
)
def test_a_wrong_gradient_is_found_in_float32(name: str, mistake: str) -> None:
    found = verdicts_of(open_python_layer(f"{OWN}:{name}"), name, mistake)
    failed = [verdict for verdict in found if verdict.status is Status.FAILED]
    wanted = "layer-contract.loss-weight" if mistake == "weightless" else "layer-contract.gradient"
    assert [verdict.requirement for verdict in failed] == [wanted]
    assert not any(verdict.status is Status.PASSED for verdict in found)


@pytest.fixture(scope="module")
def caffe() -> Iterator[Implementation]:
    """A real Caffe with the layers on its path."""
    environment = {**os.environ, "PYTHONPATH": str(OWN.parent)}
    with closing(PycaffeImplementation(REAL, environment=environment)) as found:
        yield found


@pytest.mark.caffe
@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="LOSSCONF_CAFFE_PYTHON names no Python with a Caffe")
class TestOnARealCaffe:
    """Python layers of a Caffe that computes in float32 only: right ones conform, and no mistake does."""

    @pytest.mark.parametrize("name", RIGHT)
    def test_a_right_layer_conforms(self, caffe: Implementation, name: str) -> None:
        (verdict,) = verdicts_of(caffe, name)
        assert verdict.status is Status.PASSED, verdict.reason

    @pytest.mark.parametrize("mistake", MISTAKES)
    @pytest.mark.parametrize("name", RIGHT)
    def test_no_mistake_conforms(self, caffe: Implementation, name: str, mistake: str) -> None:
        found = verdicts_of(caffe, name, mistake)
        assert any(verdict.status in (Status.FAILED, Status.INCONCLUSIVE) for verdict in found)
        assert not any(verdict.status is Status.PASSED for verdict in found)


def judged(loss: object, gradient: np.ndarray, values: np.ndarray, dtype: str) -> Verdict:  # type: ignore[type-arg]
    held = TYPES[dtype]
    slopes = slopes_of(lambda name, array: loss(array), {"x": values}, {"x": gradient}, held, held)  # type: ignore[operator]
    return slope_verdicts("a/b/c", "layer-contract", dtype, slopes, 2.5)[0]


def test_a_loss_too_noisy_is_undecided_and_says_why() -> None:
    rng = np.random.default_rng(0)
    values = np.linspace(-1, 1, 8)
    verdict = judged(lambda x: float(np.sum(x * x) + rng.normal(0, 0.1)), 2 * values, values, FLOAT.name)
    assert verdict.status is Status.INCONCLUSIVE
    assert "4 % are needed" in verdict.reason
    assert "noise" in verdict.reason


def test_one_wrong_element_of_a_large_array_shows_along_a_direction() -> None:
    values = np.linspace(-1, 1, 3000)
    gradient = 2 * values
    gradient[1234] += 1.0
    verdict = judged(lambda x: float(np.float32(np.sum(x * x))), gradient, values, FLOAT.name)
    assert verdict.status is Status.FAILED
    assert "along" in verdict.reason


def test_gradients_of_zeros_where_nothing_has_a_slope_decide_nothing() -> None:
    verdict = judged(lambda x: 3.0, np.zeros(4), np.linspace(-1, 1, 4), FLOAT.name)
    assert verdict.status is Status.INCONCLUSIVE


@pytest.mark.parametrize("kink", [2.0**-12, 0.004, 0.03])
def test_a_kink_within_the_steps_is_not_taken_for_a_slope(kink: float) -> None:
    found = slope(lambda x: max(x - kink, 0.0), search=Search(2.0**-3, 6, here=0.0))
    assert abs(found.value) <= found.error


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_the_command_tells_slopes_and_the_script_calls_the_layer(lossconf: Lossconf, tmp_path: Path) -> None:
    snippet = tmp_path / "huber.prototxt"
    named = f'module: "{OWN.stem}" layer: "Huber" param_str: "sign"'
    snippet.write_text(f'layer {{ type: "Python" top: "l" python_param {{ {named} }} }}')
    run = ("run", f"python-layer:{OWN}:Huber", "--layer", str(snippet), "-j", "0", "--dtype", "float32")
    said = lossconf(*run, "--report", str(tmp_path / "r.jsonl"))
    assert said.code == 1
    assert "of the opposite sign" in said.out
    assert "the reported loss has slope" in said.out
    told = lossconf("explain", str(tmp_path / "r.jsonl"), "formula_free/huber/gradient")
    assert "unknown layer type" not in said.out + told.out
    assert "slope 0.49" in told.out
    script = tmp_path / "repro.py"
    script.write_text(lossconf("repro", str(tmp_path / "r.jsonl"), "formula_free/huber/gradient").out)
    again = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert again.returncode == 1, again.stderr
    assert "WRONG" in again.stdout
