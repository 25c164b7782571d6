"""What the gate decides, on times that were made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.trials import plant
from conformance.timing.contestants import Contestant, Sample
from conformance.timing.gate import (
    CONFIRMATIONS,
    GENERATIONS,
    MOST_GENERATIONS,
    NEW,
    NOT_MEASURED,
    SAME,
    SLOWER,
    Finding,
    Limits,
    Pairs,
    decide,
    gate,
)
from conformance.timing.gate_table import exit_code
from conformance.timing.problem import Array, Problem
from conformance.timing.sizes import SIZES
from conformance.timing.subjects import About, NotTimed

PROBLEM = Problem("hinge_loss", SIZES["tiny"], "float32")
LIMITS = Limits()


def pairs(ratio: float, noise: float, seconds: float = 1e-3, seed: int = 0, generations: int = 3) -> Pairs:
    """Both versions slowed alike in each round, by a lot; apart from that, their own noise."""
    rng = np.random.default_rng(seed)
    made = Pairs()
    for _ in range(generations):
        weather = seconds * rng.lognormal(0.0, 1.0, 7)
        before, now = (weather * factor * rng.lognormal(0.0, noise, 7) for factor in (1.0, ratio))
        made.add(list(before), list(now))
    return made


def verdict(made: Pairs, limits: Limits = LIMITS) -> str:
    return decide(PROBLEM, "both", made, limits).verdict


@pytest.mark.parametrize(
    ("ratio", "noise", "expected"),
    [
        (1.0, 0.01, SAME),
        (1.0, 0.05, SAME),
        (0.5, 0.05, SAME),
        (1.2, 0.01, SLOWER),
        (1.2, 0.03, SLOWER),
        (2.0, 0.2, SLOWER),
        (1.0, 1.0, NOT_MEASURED),
        (1.05, 0.01, SAME),
    ],
)
def test_a_difference_is_told_from_noise(ratio: float, noise: float, expected: str) -> None:
    assert verdict(pairs(ratio, noise)) == expected


def test_a_twenty_percent_slowdown_is_caught_and_none_is_made_up() -> None:
    tries = range(200)
    caught = sum(verdict(pairs(1.2, 0.05, seed=seed)) == SLOWER for seed in tries)
    false = sum(verdict(pairs(1.0, 0.05, seed=seed)) == SLOWER for seed in tries)
    assert caught >= 0.95 * len(tries)
    assert false == 0


def test_what_slows_both_down_is_no_difference() -> None:
    """Rounds differ by factors of ten; the pairs do not."""
    made = pairs(1.0, 0.01)
    assert max(max(generation) for generation in made.before) > 5 * min(min(generation) for generation in made.before)
    assert verdict(made) == SAME


def test_a_ratio_alone_is_no_slowdown() -> None:
    assert verdict(pairs(1.5, 0.01, seconds=2e-7)) == SAME
    assert verdict(pairs(1.5, 0.01, seconds=2e-6)) == SLOWER


def test_the_slowdown_asked_for_moves_the_limit() -> None:
    assert verdict(pairs(1.07, 0.005), Limits(slowdown=0.2)) == SAME
    assert verdict(pairs(1.07, 0.005), Limits(slowdown=0.1)) == SLOWER
    assert Limits(slowdown=0.21).ratio == pytest.approx(1.1)


def test_a_slowdown_of_some_generations_only_is_the_processes_doing() -> None:
    made = pairs(1.3, 0.01, generations=2)
    again = pairs(0.97, 0.01)
    made.add(again.before[0], again.now[0])
    assert verdict(made) != SLOWER


def test_too_few_rounds_are_no_measurement() -> None:
    found = decide(PROBLEM, "both", pairs(1.0, 0.001, generations=1), LIMITS)
    assert (found.verdict, found.reason) == (NOT_MEASURED, "too few rounds")
    assert decide(PROBLEM, "both", Pairs(), LIMITS).reason == "no times"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((SAME, SAME), 0),
        ((SAME, NEW), 0),
        ((SAME, NOT_MEASURED), 4),
        ((NOT_MEASURED, SLOWER), 1),
        ((), 0),
    ],
)
def test_the_exit_code_says_the_worst(verdicts: Sequence[str], code: int) -> None:
    assert exit_code([Finding(PROBLEM, "both", each) for each in verdicts]) == code


class Pretender:
    """A contestant that makes its times up."""

    spins = False
    opened = 0

    def __init__(self, factor: float, noise: float = 0.01, fails: str = "") -> None:
        self.spec, self.factor, self.noise, self.fails = "pretender", factor, noise, fails

    def open(self) -> About:
        Pretender.opened += 1
        self.rng = np.random.default_rng(Pretender.opened)
        return About(self.spec)

    def prepare(self, problem: Problem, modes: Sequence[str]) -> tuple[str, ...]:
        if self.fails:
            raise NotTimed(self.fails)
        return tuple(modes)

    def sample(self, modes: Sequence[str], best_of: int = 1) -> dict[str, Sample]:
        return {mode: Sample(1e-3 * self.factor * float(self.rng.lognormal(0.0, self.noise))) for mode in modes}

    def answer(self, entries: Array) -> tuple[float, list[Array]]:
        raise NotTimed("it answers nothing")

    def memory(self) -> int | None:
        return None

    def release(self) -> None:
        """There is nothing to release."""

    def close(self) -> None:
        """There is nothing to close."""


def run(before: Contestant, now: Contestant) -> tuple[list[Finding], int]:
    lines: list[str] = []
    return gate(lambda: before, lambda: now, [PROBLEM], ["both"], LIMITS, lines.append), len(lines)


def test_a_gate_needs_few_generations_where_nothing_happened() -> None:
    (found,), generations = run(Pretender(1.0), Pretender(1.0))
    assert (found.verdict, generations) == (SAME, GENERATIONS)


def test_a_slowdown_is_measured_again() -> None:
    (found,), generations = run(Pretender(1.0), Pretender(1.3))
    assert (found.verdict, generations) == (SLOWER, GENERATIONS + CONFIRMATIONS)
    assert found.ratio == pytest.approx(1.3, rel=0.05)


def test_noise_is_measured_until_it_is_not_worth_it() -> None:
    (found,), generations = run(Pretender(1.0, noise=2.0), Pretender(1.0, noise=2.0))
    assert (found.verdict, generations) == (NOT_MEASURED, MOST_GENERATIONS)
    assert "noise" in found.reason


def test_a_kernel_that_was_not_there_before_is_new() -> None:
    (found,), _ = run(Pretender(1.0, fails="no kernel for hinge_loss"), Pretender(1.0))
    assert found.verdict == NEW
    (gone,), _ = run(Pretender(1.0), Pretender(1.0, fails="no kernel for hinge_loss"))
    assert gone.verdict == NOT_MEASURED
    assert gone.interval == (-math.inf, math.inf)


def test_a_planted_slowdown_leaves_the_answer_alone(tmp_path: Path) -> None:
    folder = tmp_path / "refimpl" / "fast" / "cpu"
    folder.mkdir(parents=True)
    (folder / "hinge_loss.py").write_text("def hinge_loss(x, labels, *, out=None):\n    return 3.5\n")
    plant(tmp_path, "hinge_loss", 0.2)
    scope: dict[str, object] = {}
    exec((folder / "hinge_loss.py").read_text(), scope)
    assert scope["hinge_loss"](np.zeros(1 << 15), None, out=None) == 3.5  # type: ignore[operator]
