"""Goals: read from a file, and met or missed by times that were made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from conformance.contract.errors import UsageError
from conformance.timing.goals import Goals, Reached, merged, read_goals
from conformance.timing.goals_table import render_goals
from conformance.timing.problem import Problem
from conformance.timing.result import Result
from conformance.timing.sizes import SIZES
from tests.timing.test_results import measured, printed, result

ROOT = Path(__file__).parents[2]
CAFFE = "pycaffe:python"


@pytest.fixture(scope="module")
def kernels() -> Goals:
    return read_goals(ROOT / "bench" / "goals.toml", {"caffe": CAFFE})


def timed(goals: Goals, ratio: float, copy: float = 1.5, growth: float = 1.0) -> Result:
    """Everything that the goals ask for, with peers `ratio` times as slow."""
    problems = {}
    for plan in goals.plans(2, 15, 0.0):
        for problem in plan.problems:
            own = problem.size.elements * 1e-3 * (growth if problem.size.name == "huge" else 1.0)
            peers = {name: own * ratio for name in plan.specs if name != "numba-cpu"}
            problems[problem] = measured(problem, **{"numba_cpu": own, "copy": own / copy, **peers})
    return result(*problems.values(), specs=("numba-cpu", "torch", CAFFE))


def met(goals: Goals, found: Result, kind: str) -> set[bool | None]:
    """What came of all goals of a kind; those that are about a copy have a kind of their own."""
    every = [goal for goal in goals.goals if ("copy" if goal.peer == "copy" else goal.kind) == kind]
    return {reached.met for goal in every for reached in goal.reached(found, "numba-cpu").values()}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("ratio", {"ratio": 50}, {"ratio": 0.5}),
        ("copy", {"ratio": 50}, {"ratio": 50, "copy": 2.5}),
        ("growth", {"ratio": 50}, {"ratio": 50, "growth": 2.0}),
    ],
)
def test_goals_are_met_or_missed_by_their_medians(
    kernels: Goals, kind: str, good: dict[str, float], bad: dict[str, float]
) -> None:
    assert met(kernels, timed(kernels, **good), kind) == {True}
    assert met(kernels, timed(kernels, **bad), kind) == {False}


def test_memory_is_held_against_inputs_and_gradients(kernels: Goals) -> None:
    found = timed(kernels, 50)
    assert met(kernels, found, "memory") == {True}
    hungry = replace(found, measured=tuple(replace(one, memory={"numba-cpu": 1 << 30}) for one in found.measured))
    assert met(kernels, hungry, "memory") == {False}


def test_what_was_not_measured_is_neither_met_nor_missed(kernels: Goals) -> None:
    for kind in ("ratio", "copy", "growth", "memory"):
        assert met(kernels, result(), kind) == {None}


def of_hinge(goals: Goals, size: str, noisy: Result) -> Reached:
    """Against torch."""
    (goal,) = (
        goal
        for goal in goals.goals
        if (goal.peer, goal.dtype, goal.sizes) == ("torch", "float32", (SIZES[size],)) and "hinge_loss" in goal.wanted
    )
    return goal.reached(noisy, "numba-cpu")["hinge_loss"]


def test_noise_and_disturbance_are_no_measurement(kernels: Goals) -> None:
    problem = Problem("hinge_loss", SIZES["tiny"], "float32")
    noisy = measured(problem, numba_cpu=1.0)
    noisy.seconds["torch"] = {"both": [1e-6 * 4.0 ** (i % 5) for i in range(15)]}  # type: ignore[index]
    assert "noise" in of_hinge(kernels, "tiny", result(noisy)).reason
    waited = replace(measured(problem, numba_cpu=1.0, torch=50.0), waited={"torch": {"both": [0.5] * 15}})
    assert "disturbed" in of_hinge(kernels, "tiny", result(waited)).reason


def test_every_problem_is_timed_once_beside_all_its_peers(kernels: Goals) -> None:
    plans = kernels.plans(2, 15, 60.0)
    problems = [problem for plan in plans for problem in plan.problems]
    assert len(problems) == len(set(problems))
    assert {plan.specs for plan in plans} == {("numba-cpu", "torch"), ("numba-cpu", "torch", CAFFE), ("numba-cpu",)}
    unnamed = read_goals(ROOT / "bench" / "goals.toml", {})
    assert {plan.specs for plan in unnamed.plans(2, 15, 0.0)} == {("numba-cpu", "torch"), ("numba-cpu",)}


def test_the_table_counts_and_names_every_miss(kernels: Goals) -> None:
    found = timed(kernels, 3.2)
    text = printed(lambda console: render_goals(kernels, found, console))
    assert "3.2x  >= 3.5x  MISSED" in text
    every = [reached.met for reached in render_goals(kernels, found, Console(quiet=True))]
    assert f"{every.count(True)} met, {every.count(False)} missed, 0 not measured" in text
    assert {True, False} == set(every)


def test_several_runs_make_one_result() -> None:
    one, other = result(measured(numba_cpu=1)), replace(result(measured(torch=1)), warnings=("busy",), load=(1.0, 2.0))
    whole = merged([one, other])
    assert len(whole.measured) == 2
    assert whole.warnings == ("busy",)
    assert whole.load == (None, 2.0)


GOAL = 'implementation = "numba-cpu"\n[[goal]]\nsizes = ["tiny"]\ndtype = "float32"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("implementation", "is no TOML"),
        ('implementation = "numba-cpu"', "'goal' is a required property"),
        (GOAL, "holds no goals"),
        (GOAL + "ratio = 2", "holds no goals"),
        (GOAL + 'peer = "torch"\nratio = "2"', "goal.0.ratio"),
        (GOAL + "memory = { hinge = 1 }", "did you mean hinge_loss?"),
        (GOAL.replace("tiny", "vast") + "memory = 1", "no size 'vast'"),
        (GOAL.replace("32", "23") + "memory = 1", "float32"),
    ],
)
def test_what_holds_no_goals_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "goals.toml").write_text(text)
    with pytest.raises(UsageError, match=told) as error:
        read_goals(tmp_path / "goals.toml", {})
    assert "\n" not in str(error.value)


def test_the_goals_of_the_gpu_are_read() -> None:
    assert read_goals(ROOT / "bench" / "cuda.toml", {}).plans(1, 15, 0.0)[0].copy == "copy:cuda"
