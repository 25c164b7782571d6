"""Measure: a whole run, problem by problem."""

from __future__ import annotations

import math
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from conformance.contract.version import VERSION
from conformance.timing.advice import environment_advice, run_advice
from conformance.timing.contestants import Contestant, contestant
from conformance.timing.expectation import Expectation, expect
from conformance.timing.gpu import UNTESTED
from conformance.timing.machine import describe_machine, load_average, wait_until_quiet
from conformance.timing.problem import Problem
from conformance.timing.result import Measured, Result
from conformance.timing.rounds import interleave
from conformance.timing.statistics import summary
from conformance.timing.subjects import About, NotTimed
from conformance.timing.traffic import traffic_of

__all__ = ["COPY", "Plan", "all_measured", "measure", "revision"]

COPY = "copy"

HOLDINGS = {COPY: 1.0, "numba-cpu": 1.5}
"""Memory that a subject holds, as a multiple of the problem's own; every other one may take `HOLDING`."""

HOLDING = 4.0

ROOM = 0.8
"""The share of the available memory that is used."""


@dataclass(frozen=True)
class Plan:
    """What is to be timed.

    ``limit`` is in seconds for the rounds of one problem; ``patience`` are seconds for waiting until the machine is
    quiet, and for measuring again what was disturbed; without, everything is measured once, as it comes.
    """

    specs: tuple[str, ...]
    problems: tuple[Problem, ...]
    modes: tuple[str, ...]
    threads: int
    rounds: int
    limit: float = 60.0
    patience: float = 0.0
    judged: bool = True

    @property
    def copy(self) -> str:
        """The plain copy that times are compared with: the GPU's own where what is named first runs there."""
        return "copy:cuda" if self.on_gpu else COPY

    @property
    def on_gpu(self) -> bool:
        return self.specs[0] == "numba-cuda"


def measure(plan: Plan, told: Callable[[str], None] = lambda line: None) -> Result:
    """Carry out a plan. ``told`` gets a line before each problem.

    Raises `NotTimed` where the first contestant cannot be started, `UsageError` for a spelling that makes no sense.
    """
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    machine, before = describe_machine(), load_average()
    warnings = list(environment_advice(machine, plan.threads, before))
    with ExitStack() as stack:
        entered, abouts, absent = _entered(plan, stack)
        if plan.on_gpu:
            warnings.append(UNTESTED)
            told(UNTESTED)
        for spec, about in absent.items():
            warnings.append(f"{spec} is not timed: {about}")
        measured = all_measured(plan, entered, told)
    warnings += run_advice(abouts, _spread_of_copies(measured), _disturbed(measured))
    return Result(
        created=created,
        version=VERSION,
        revision=revision(Path(__file__).resolve().parents[2]),
        machine=machine,
        threads=plan.threads,
        rounds=plan.rounds,
        specs=tuple(spec for spec in plan.specs if spec in abouts),
        subjects=abouts,
        measured=tuple(measured),
        warnings=tuple(warnings),
        load=(before, load_average()),
    )


def _entered(plan: Plan, stack: ExitStack) -> tuple[dict[str, Contestant], dict[str, About], dict[str, str]]:
    """The contestants that start, what they say of themselves, and why others do not."""
    entered: dict[str, Contestant] = {}
    abouts: dict[str, About] = {}
    absent: dict[str, str] = {}
    for spec in dict.fromkeys((*plan.specs, COPY)):
        try:
            opened = contestant(plan.copy if spec == COPY else spec, plan.threads)
            stack.callback(opened.close)
            abouts[spec] = opened.open()
            entered[spec] = opened
        except NotTimed as reason:
            if spec == plan.specs[0]:
                raise
            absent[spec] = str(reason)
    return entered, abouts, absent


def all_measured(plan: Plan, entered: Mapping[str, Contestant], told: Callable[[str], None]) -> list[Measured]:
    """Every problem, again while there is patience and it was disturbed."""
    found: dict[Problem, Measured] = {}
    todo = deque(plan.problems)
    deadline = time.monotonic() + plan.patience
    while todo:
        problem = todo.popleft()
        if plan.patience and not wait_until_quiet(deadline) and problem in found:
            break
        again = "again: " if problem in found else ""
        told(f"{again}{problem} ({len(todo)} more)")
        found[problem] = _measured(problem, plan, entered)
        if time.monotonic() < deadline and _is_disturbed(found[problem]):
            todo.append(problem)
    return [found[problem] for problem in plan.problems]


def _measured(problem: Problem, plan: Plan, entered: Mapping[str, Contestant]) -> Measured:
    """One problem: everybody prepares, runs in rounds, is asked for memory and answer, and gives its memory back."""
    traffic = {mode: traffic_of(problem, mode).total for mode in plan.modes}
    short = _short_of_memory(problem, entered)
    if short:
        return Measured(problem, {}, traffic, not_timed=dict.fromkeys(entered, short))
    ready, not_timed = _prepared(problem, plan.modes, entered)
    times = interleave(ready, plan.rounds, plan.limit)
    not_timed |= times.dropped
    asked = {spec: entered[spec] for spec in ready if spec not in times.dropped and spec != COPY}
    memory = {spec: used for spec, runner in asked.items() if (used := _memory(runner)) is not None}
    verdicts = _verdicts(problem, asked) if plan.judged else {}
    for spec in ready:
        if spec not in times.dropped:
            entered[spec].release()
    return Measured(problem, times.seconds(), traffic, times.waited(), verdicts, memory, not_timed)


def _prepared(
    problem: Problem, modes: Sequence[str], entered: Mapping[str, Contestant]
) -> tuple[dict[str, tuple[Contestant, Sequence[str]]], dict[str, str]]:
    ready: dict[str, tuple[Contestant, Sequence[str]]] = {}
    not_timed: dict[str, str] = {}
    for spec, runner in entered.items():
        try:
            ready[spec] = runner, runner.prepare(problem, modes)
        except NotTimed as reason:
            not_timed[spec] = str(reason)
    return ready, not_timed


def _memory(runner: Contestant) -> int | None:
    try:
        return runner.memory()
    except NotTimed:
        return None


def _verdicts(problem: Problem, asked: Mapping[str, Contestant]) -> dict[str, dict[str, Any]]:
    """Each contestant's answer to the same inputs, judged."""
    if not asked:
        return {}
    expectation = expect(problem)
    return {spec: _verdict(expectation, runner) for spec, runner in asked.items()}


def _verdict(expectation: Expectation, runner: Contestant) -> dict[str, Any]:
    try:
        judged = expectation.judge(*runner.answer(expectation.entries))
    except NotTimed as reason:
        return {"accepted": False, "headroom": None, "loss_error": None, "reason": f"no answer: {reason}"}
    return {
        "accepted": judged.accepted,
        "headroom": judged.headroom if math.isfinite(judged.headroom) else None,
        "loss_error": judged.loss_error if math.isfinite(judged.loss_error) else None,
        "reason": judged.reason,
    }


def _short_of_memory(problem: Problem, entered: Iterable[str]) -> str:
    """Why the problem does not fit, or nothing."""
    available = psutil.virtual_memory().available
    needed = problem.held_bytes() * (1 + sum(HOLDINGS.get(spec, HOLDING) for spec in entered))
    if needed <= ROOM * available:
        return ""
    return f"needs about {needed / 2**30:.1f} GiB with everybody in memory, and {available / 2**30:.1f} GiB are free"


def _spread_of_copies(measured: Iterable[Measured]) -> float | None:
    """The spread of the copies of the largest problem that was timed."""
    timed = [one for one in measured if one.of(COPY, (one.modes() or [""])[-1])]
    if not timed:
        return None
    largest = max(timed, key=lambda one: one.problem.size.elements)
    return summary(largest.of(COPY, largest.modes()[-1])).spread


def _disturbed(measured: Iterable[Measured]) -> list[str]:
    """The problems of which hardly a round went undisturbed."""
    return [str(one.problem) for one in measured if _is_disturbed(one)]


def _is_disturbed(one: Measured) -> bool:
    return any(one.disturbed(mode, spec) for spec in one.seconds for mode in one.modes())


def revision(root: Path) -> str | None:
    """The commit that a checkout is at, with a + where tracked files differ; None where it is no checkout."""
    if not (root / ".git").exists():
        return None
    try:
        commit, state = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30
            ).stdout
            for words in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", "refimpl", "conformance"],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+" if state.strip() else "")
