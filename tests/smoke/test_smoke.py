"""`lossconf smoke`: what is plugged in wrongly is found, named and told how to mend."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.contract.case import Array
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome
from conformance.smoke import State
from conformance.smoke.steps import STEPS, Bench
from tests.broken import Broken
from tests.command_line import Lossconf, lossconf_in
from tests.miniatures import command, well_behaved

MINIATURE = "direct:tests.direct_miniatures:"
SPATIAL = "dim: 2 dim: 2"
"""What only the net of the step "spatial" holds."""


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def bench(implementation: Implementation) -> Bench:
    return Bench(implementation, implementation.describe())


def states(out: str) -> dict[str, str]:
    """The state of each step in what the command printed."""
    rows = [line.split(maxsplit=2) for line in out.splitlines() if line.startswith(("ok", "fix", "skip"))]
    return {step: state for state, step, _ in rows}


def test_every_step_is_right_for_the_reference_but_restart_which_it_has_no_process_for(lossconf: Lossconf) -> None:
    ended = lossconf("smoke", "reference")
    assert ended.code == 0
    assert states(ended.out) == {"start": "ok", **dict.fromkeys(STEPS, "ok"), "restart": "skip"}


def test_every_step_is_right_for_a_process(lossconf: Lossconf) -> None:
    ended = lossconf("smoke", f"process:{shlex.join(well_behaved(honest=True))}")
    assert ended.code == 0
    assert states(ended.out) == {"start": "ok", **dict.fromkeys(STEPS, "ok")}
    assert "killed, and answering again" in ended.out


def test_a_layer_is_not_asked_what_only_a_net_can_answer(lossconf: Lossconf) -> None:
    ended = lossconf("smoke", MINIATURE + "Euclidean")
    assert ended.code == 0
    skipped = [step for step, state in states(ended.out).items() if state == "skip"]
    assert skipped == ["files", "refusal", "error"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("segfaults", "crashed: died by SIGSEGV"),
        ("hangs", "timed out: no sign of life"),
        pytest.param("answers_garbage", "no answer: not JSON", marks=pytest.mark.slow),
        pytest.param("prints_to_stdout", "no answer: not JSON", marks=pytest.mark.slow),
    ],
)
def test_what_a_process_does_costs_its_step_and_no_other(lossconf: Lossconf, behaviour: str, words: str) -> None:
    spec = f"process:{shlex.join(command(behaviour, SPATIAL, honest=True))}"
    ended = lossconf("smoke", spec, "--timeout", "5")
    assert ended.code == 1
    assert [step for step, state in states(ended.out).items() if state == "fix"] == ["spatial"]
    assert words in ended.out
    assert "to do: " in ended.out
    assert "1 of 12 steps to fix" in ended.out


def test_an_object_that_kills_the_process_costs_its_step_and_no_other(
    lossconf: Lossconf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, sys\n"
        "class EuclideanLoss:\n"
        "    def forward(self, bottom):\n"
        "        if bottom[0].ndim == 4:\n"
        "            sys.stderr.write('out of memory\\n')\n"
        "            sys.stderr.flush()\n"
        "            os.abort()\n"
        "        return 0.5 * ((bottom[0] - bottom[1]) ** 2).sum() / len(bottom[0])\n"
        "    def backward(self, top_diff, bottom, propagate_down):\n"
        "        gradient = top_diff[0] * (bottom[0] - bottom[1]) / len(bottom[0])\n"
        "        return gradient, -gradient\n"
    )
    ended = lossconf("smoke", "direct:deadly:EuclideanLoss")
    assert ended.code == 1
    assert [step for step, state in states(ended.out).items() if state == "fix"] == ["spatial"]
    assert "died by SIGABRT" in ended.out
    assert "| out of memory" in ended.out


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ("direct:no_such_module", 6, "there is no module no_such_module"),
        (f"process:{shlex.join(command('exits_at_start'))}", 6, "no Caffe here"),
        (MINIATURE + "NoSuchClass", 2, "has no 'NoSuchClass'"),
        ("pycafe:python3", 2, "did you mean pycaffe?"),
    ],
)
def test_what_does_not_start_ends_with_its_own_code(lossconf: Lossconf, spec: str, code: int, words: str) -> None:
    ended = lossconf("smoke", spec)
    assert ended.code == code
    assert words in ended.err
    assert "Traceback" not in ended.err


def changed(**parts: Callable[[dict[str, Array]], Mapping[str, Array]]) -> Callable[[Outcome], Outcome]:
    def change(outcome: Outcome) -> Outcome:
        return replace(outcome, **{name: make(dict(getattr(outcome, name))) for name, make in parts.items()})

    return change


def zeroed(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: np.zeros_like(array) for name, array in arrays.items()}


FAULTS: dict[str, tuple[Callable[[Outcome], Outcome], str]] = {
    "unweighted": (lambda o: replace(o, loss=float(o.data["loss"])), "this is the top, unweighted"),
    "another-total": (lambda o: replace(o, loss=0.25 * o.loss), "neither top nor total"),
    "no-gradient": (changed(diff=lambda d: {k: v for k, v in d.items() if k != "x"}), "no gradient of x is reported"),
    "zero-gradient": (changed(diff=zeroed), "the gradient of x is all zeros"),
    "another-dtype": (
        changed(diff=lambda d: {k: v.astype("float16") for k, v in d.items()}),
        "diff.x is float16, asked for float32",
    ),
    "flattened": (changed(data=lambda d: {k: v.ravel() for k, v in d.items()}), "data.x has shape (20,)"),
    "not-fed": (changed(data=zeroed), "data.x is [0, 0, 0, 0, ...] where"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_answer_is_named(fault: str) -> None:
    change, words = FAULTS[fault]
    found = bench(Broken(change=change)).plain()
    assert found.state is State.FIX
    assert words in found.said
    assert found.remedy


def test_an_answer_that_loses_nan_is_found_where_nan_is_fed() -> None:
    cleaned = bench(Broken(change=changed(data=lambda d: {k: np.nan_to_num(v) for k, v in d.items()})))
    assert cleaned.plain().state is State.RIGHT
    found = cleaned.not_finite()
    assert found.state is State.FIX
    assert "where [nan, inf," in found.said


def test_wrong_numbers_are_none_of_its_business() -> None:
    doubled = changed(diff=lambda d: {k: 2 * v for k, v in d.items()})
    assert bench(Broken(change=doubled)).plain().state is State.RIGHT


def test_a_silence_about_tops_is_mentioned_and_right() -> None:
    found = bench(Broken(change=lambda o: replace(o, data={}))).plain()
    assert found.state is State.RIGHT
    assert "only nets of one layer" in found.said


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"dialect": "caffe2"}, "dialect is 'caffe2'"),
        ({"determinism": "always"}, "determinism is 'always'"),
        ({"dtypes": ()}, "dtypes are []"),
        ({"dtypes": ("half",)}, "dtypes are ['half']"),
        ({"name": ""}, "it has no name"),
        ({"layers": ("EuclidianLoss",)}, "none of its layers is a loss of Caffe's: EuclidianLoss"),
    ],
)
def test_a_description_that_makes_no_sense_is_named(description: dict[str, Any], words: str) -> None:
    broken = Broken()
    found = Bench(broken, replace(broken.describe(), **description)).describe()
    assert found.state is State.FIX
    assert words in found.said


def test_a_misspelt_layer_is_told_the_nearest_name() -> None:
    broken = Broken()
    found = Bench(broken, replace(broken.describe(), layers=("EuclidianLoss",))).describe()
    assert "did you mean EuclideanLoss?" in found.remedy


def test_help_has_examples(lossconf: Lossconf) -> None:
    assert "lossconf smoke direct:mylayers:MyLoss" in lossconf("smoke", "--help").out
