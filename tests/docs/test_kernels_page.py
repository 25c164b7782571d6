"""The page for authors of fused losses: its file of eight lines conforms in the types that its command claims."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters.opening import open_implementation
from conformance.contract.case import Case
from conformance.contract.outcome import Refusal
from conformance.contract.verdict import Status, Verdict
from conformance.engine.execution import execute
from conformance.judge.judgement import judge_outcome
from conformance.record.reader import read_report
from conformance.suite import golden
from tests.broken import session

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/kernels.md").read_text("utf-8")
CODE = re.search(r"```python\n# mykernel.py\n(.*?)```", PAGE, re.DOTALL)
COMMAND = re.search(r'lossconf run torch:(\S+) --dtype "([^"]+)"', PAGE)
SMOOTHED = re.search(r"```python\n# smoothed.py\n(.*?)```", PAGE, re.DOTALL)
SMOOTHED_COMMAND = re.search(r"lossconf (run \"torch:smoothed.*)", PAGE)
DESCRIPTION = ROOT / "docs/examples/kernels/smoothed_softmax_loss.py"
FINE = (Status.PASSED, Status.NOT_APPLICABLE)

pytest.importorskip("torch")


def verdicts(spec: str, every: int, claim: str) -> Iterator[Verdict]:
    implementation = open_implementation(spec, in_process=True)
    checks = [check for check in golden.checks() if check.layer == "softmax_with_loss" and check.core][::every]
    for check in checks:
        yield from execute(check, session(implementation, claim))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module of that text and name where the working directory is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text)


def test_the_example_conforms(kernel: Any) -> None:
    assert CODE and COMMAND
    assert len([line for line in CODE[1].splitlines() if line]) <= 8
    kernel("mykernel", CODE[1])
    found = list(verdicts(f"torch:{COMMAND[1]}", 6, COMMAND[2]))
    assert not [f"{v.check} {v.requirement} {v.reason}" for v in found if v.status not in FINE and not v.limit]
    assert sum(v.status is Status.PASSED for v in found) > 40


@pytest.mark.parametrize(
    "was, becomes",
    [
        ("counted, 0).sum()", "counted, 0).sum() * 0.98"),
        ("logits.float()", "logits"),
        ("return -picked", "return 0 * -picked"),
    ],
)
def test_a_mistake_in_it_does_not(kernel: Any, was: str, becomes: str) -> None:
    assert CODE and COMMAND
    assert was in CODE[1]
    name = f"mistaken{abs(hash(was))}"
    kernel(name, CODE[1].replace(was, becomes))
    found = verdicts(f"torch:{name}:loss", 12, COMMAND[2])
    assert any(v.status is Status.FAILED for v in found)


@pytest.mark.parametrize(("was", "becomes", "ends"), [("", "", 0), ("z_loss * log_sum", "z_loss * 2 * log_sum", 1)])
def test_a_loss_with_options_from_a_file_is_judged(
    kernel: Any, tmp_path: Path, was: str, becomes: str, ends: int
) -> None:
    """In a process of its own: what is registered stays there."""
    assert SMOOTHED and SMOOTHED_COMMAND
    assert was in SMOOTHED[1]
    kernel("smoothed", SMOOTHED[1].replace(was, becomes))
    words = shlex.split(SMOOTHED_COMMAND[1].replace("smoothed_softmax_loss.py", str(DESCRIPTION)))
    words += [word for family in ("gradients", "labels", "options") for word in ("--family", family)]
    run = subprocess.run(
        [sys.executable, "-m", "conformance", *words, "-j", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == ends, run.stdout + run.stderr
    judged = read_report(tmp_path / "report.jsonl").judged
    passed = {each.verdict.requirement for each in judged if each.verdict.status is Status.PASSED}
    assert {"smoothed_softmax_loss.ignore-label", "smoothed_softmax_loss.axis"} <= passed


def test_options_that_a_function_has_parameters_for_are_told_where_a_net_sets_them(kernel: Any) -> None:
    text = "told = []\n\n\ndef loss(x, z, margin=None):\n    told.append(margin)\n    return (x - z).square().sum()\n"
    kernel("told", text.replace("(x, z, ", "(x, y, "))
    implementation = open_implementation("torch:told:loss --as HingeLoss", in_process=True)
    assert "hinge_loss_param.norm" in implementation.describe().declines
    kernel("normed", "told = []\n\n\ndef loss(x, y, norm='-'):\n    told.append(norm)\n    return x.sum()\n")
    implementation = open_implementation("torch:normed:loss --as HingeLoss", in_process=True)
    assert "hinge_loss_param.norm" not in implementation.describe().declines
    net = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "HingeLoss" bottom: "x" bottom: "y" top: "loss" OPTIONS }"""
    for options in ("", "hinge_loss_param { norm: L2 }"):
        case = Case(
            "it", net.replace("OPTIONS", options), {"x": np.zeros((2, 3)), "y": np.zeros(2)}, steps=("forward",)
        )
        implementation.run(case, "float32")
    assert sys.modules["normed"].told == ["-", "L2"]


def test_a_label_that_is_no_class_is_refused_whatever_the_function_makes_of_it(kernel: Any) -> None:
    kernel("lenient", "def loss(logits, target):\n    return logits.sum()\n")
    net = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" }"""
    implementation = open_implementation("torch:lenient:loss", in_process=True)
    for label, refused in ((2.0, False), (3.0, True), (-1.0, True)):
        case = Case("it", net, {"x": np.zeros((2, 3)), "y": np.array([0.0, label])}, steps=("forward",))
        assert isinstance(implementation.run(case, "float32"), Refusal) is refused


def test_a_function_in_jax_and_a_pair_of_functions(kernel: Any) -> None:
    pytest.importorskip("jax")
    text = """
import jax, jax.numpy as jnp, numpy as np

def loss(a, b):
    d = a.astype(jnp.float32) - b.astype(jnp.float32)
    return (d * d).sum() / (2 * len(a))

pair = (lambda a, b: loss(jnp.asarray(a), jnp.asarray(b)),
        lambda a, b, g: (half(a, b, g), half(b, a, g)))

def half(a, b, g):
    return np.float32(g) * (a.astype(np.float32) - b.astype(np.float32)) / np.float32(len(a))
"""
    kernel("jaxkernel", text)
    claim = "bfloat16, loss float32 (computed float32)"
    for name in ("loss", "pair"):
        implementation = open_implementation(f"jax:jaxkernel:{name} --as EuclideanLoss", in_process=True)
        checks = [check for check in golden.checks() if check.layer == "euclidean_loss" and check.core][:4]
        found = [v for check in checks for v in execute(check, session(implementation, claim))]
        assert any(v.status is Status.PASSED and v.requirement == "euclidean_loss.forward" for v in found)
        assert not [f"{v.check} {v.requirement} {v.reason}" for v in found if v.status not in FINE and not v.limit]


def test_classes_of_a_loss_without_an_axis_are_the_entries_of_an_item(kernel: Any) -> None:
    text = """
import torch

def loss(x, y):
    x = x.reshape(len(x), -1)
    return torch.relu(1 + (1 - 2 * torch.nn.functional.one_hot(y, x.shape[1])) * x).sum() / len(x)
"""
    kernel("margins", text)
    implementation = open_implementation("torch:margins:loss --as HingeLoss", in_process=True)
    net = """force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 1 dim: 1 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "HingeLoss" bottom: "x" bottom: "y" top: "loss" }"""
    case = Case("it", net, {"x": np.full((2, 3, 1, 1), 0.5), "y": np.array([2.0, 0.0])})
    assert judge_outcome(case, implementation.run(case, "float32"), "float32").conforms


def test_a_second_top_is_declined(kernel: Any) -> None:
    kernel("single", "def loss(logits, target):\n    return logits.sum()\n")
    declines = open_implementation("torch:single:loss", in_process=True).describe().declines
    assert "SoftmaxWithLoss:tops>1" in declines


@pytest.mark.parametrize(
    "spec, words",
    [
        ("torch:fast", "a module and a function in it are needed"),
        ("torch:math:pi", "neither a function nor a pair"),
        ("torch:math:exp --as Pooling", "did you mean|unknown|no loss"),
        ("torch:math:exp --for it", "a module and a function in it are needed"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(spec: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        open_implementation(spec, in_process=True)
