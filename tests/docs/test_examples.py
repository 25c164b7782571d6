"""The programs under docs/examples conform, and say no where they should."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.process import ProcessImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NET = (
    'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 %s} } }\n'
    'layer { name: "loss" type: "%s" bottom: "x" bottom: "y" top: "loss" %s }\n'
)
X = np.array([[1.0, -1.0, 0.5], [-2.0, 0.25, -0.75]])


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if shutil.which("g++") is None:
        pytest.skip("not run: needs g++")
    program = tmp_path_factory.mktemp("cpp") / "losses"
    strict = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["g++", *strict, str(EXAMPLES / "cpp" / "losses.cpp"), "-o", str(program)], check=True)
    return [str(program)]


@pytest.fixture(scope="module")
def node() -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("not run: needs Node.js")
    return ["node", str(EXAMPLES / "node" / "losses.js")]


@pytest.fixture(params=["cpp", "node"])
def example(request: pytest.FixtureRequest) -> list[str]:
    command: list[str] = request.getfixturevalue(request.param)
    return command


def conformity(command: list[str], layer: str, report: Path) -> dict[str, int]:
    """The suite on one layer of an example: how many verdicts of each kind but those beyond its limits; fails where it
    does not conform."""
    line = [sys.executable, "-m", "conformance", "run", f"process:{shlex.join(command)}", "--layer", layer]
    ran = subprocess.run([*line, "--report", str(report)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    return Counter(line["status"] for line in lines if line["kind"] == "verdict" and "limit" not in line)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["euclidean_loss", "hinge_loss"])
def test_the_cpp_example_conforms(cpp: list[str], layer: str, tmp_path: Path) -> None:
    counts = conformity(cpp, layer, tmp_path / "report.jsonl")
    assert counts["passed"] > 100
    assert set(counts) <= {"passed", "not_applicable"}


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["euclidean_loss", "multinomial_logistic_loss"])
def test_the_node_example_conforms(node: list[str], layer: str, tmp_path: Path) -> None:
    counts = conformity(node, layer, tmp_path / "report.jsonl")
    assert counts["passed"] > 100
    assert set(counts) <= {"passed", "not_applicable"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_example_computes_its_loss_and_both_gradients(example: list[str], dtype: str) -> None:
    case = Case("euclidean", NET % ("dim: 3 ", "EuclideanLoss", "loss_weight: 3"), {"x": X, "y": np.zeros((2, 3))})
    with closing(ProcessImplementation(example)) as implementation:
        outcome = implementation.run(case, dtype)
    assert isinstance(outcome, Outcome)
    assert outcome.loss == 3 * (X**2).sum() / 4
    np.testing.assert_array_equal(outcome.diff["x"], 3 * X.astype(dtype) / 2)
    np.testing.assert_array_equal(outcome.diff["y"], -3 * X.astype(dtype) / 2)


def test_nan_and_infinity_go_through_an_example(example: list[str]) -> None:
    x = np.array([[np.nan, np.inf, 0.0], [-np.inf, -0.0, 1.0]])
    case = Case("special", NET % ("dim: 3 ", "EuclideanLoss", ""), {"x": x, "y": np.zeros((2, 3))})
    with closing(ProcessImplementation(example)) as implementation:
        outcome = implementation.run(case, "float32")
    assert isinstance(outcome, Outcome)
    np.testing.assert_array_equal(outcome.diff["x"], x / 2)
    assert np.signbit(outcome.diff["x"][1, 1])


@pytest.mark.parametrize(
    ("which", "kind", "words"),
    [
        ("cpp", "HingeLoss", "label out of range"),
        ("node", "MultinomialLogisticLoss", "label 7 is not one of 3 classes"),
    ],
)
def test_an_example_refuses_in_its_own_words(which: str, kind: str, words: str, request: pytest.FixtureRequest) -> None:
    case = Case("refused", NET % ("", kind, ""), {"x": X, "y": np.array([7.0, 0.0])})
    with closing(ProcessImplementation(request.getfixturevalue(which))) as implementation:
        refusal = implementation.run(case, "float32")
    assert isinstance(refusal, Refusal)
    assert (refusal.stage, refusal.layer) == ("forward", "loss")
    assert words in refusal.message


def test_an_example_makes_nothing_of_nonsense_and_goes_on(example: list[str]) -> None:
    lines = ['{"verb": "run", "id": 1}', "nonsense", '{"verb": "describe", "id": 2, "protocol": 1}', '{"verb": "stop"}']
    ran = subprocess.run(example, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=20)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(answer["id"], sorted(answer)[0]) for answer in answers] == [
        (1, "error"),
        (None, "error"),
        (2, "description"),
    ]
    assert ran.returncode == 0
