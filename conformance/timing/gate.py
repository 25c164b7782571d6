"""Gate: did anything get slower? Two versions of a subject, in turn on one machine, and three possible answers.

Processes are started anew several times, because where a process happens to have its memory makes a difference that
stays for its whole life. What looks slower is measured again before it is called so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from conformance.timing.contestants import Contestant
from conformance.timing.problem import Problem
from conformance.timing.rounds import interleave
from conformance.timing.statistics import median_interval, pair_ratios, summary
from conformance.timing.subjects import NotTimed

__all__ = ["NEW", "NOT_MEASURED", "SAME", "SLOWER", "Finding", "Limits", "Pairs", "decide", "gate", "verdict_on"]

SAME, SLOWER, NOT_MEASURED, NEW = "not slower", "slower", "not measured", "new"

GENERATIONS = 3
"""Times that both processes are started before anything is decided."""

MOST_GENERATIONS = 8

CONFIRMATIONS = 2
"""Further generations that have to agree before something is called slower."""

ROUNDS = 7
"""Rounds of a generation."""

BEST_OF = 3
"""Samples of which a round takes the quickest: what is asked for is the code's time, not that of an interruption."""


@dataclass(frozen=True)
class Limits:
    """``slowdown`` is the least that must not be missed, as a share of the time, ``seconds`` the least that matters.

    ``doubt`` is the probability with which an interval may miss the truth, for one problem.
    """

    slowdown: float = 0.2
    seconds: float = 2e-7
    doubt: float = 1e-3

    @property
    def ratio(self) -> float:
        """What counts as slower: half way, as ratios go, from no slowdown to the one that must not be missed."""
        return math.sqrt(1 + self.slowdown)


@dataclass
class Pairs:
    """Seconds per call before and now, generation by generation and round by round."""

    before: list[list[float]] = field(default_factory=list)
    now: list[list[float]] = field(default_factory=list)

    def add(self, before: Sequence[float], now: Sequence[float]) -> None:
        """One generation."""
        self.before.append(list(before))
        self.now.append(list(now))

    def ratios(self) -> list[list[float]]:
        """How many times as long as before it takes now."""
        return [pair_ratios(before, now) for before, now in zip(self.before, self.now, strict=True)]


@dataclass(frozen=True)
class Finding:
    """What became of one problem in one mode; seconds and ratio are None where nothing was measured."""

    problem: Problem
    mode: str
    verdict: str
    before: float | None = None
    now: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] = (-math.inf, math.inf)
    reason: str = ""


def verdict_on(
    ratio: float, interval: tuple[float, float], before: float, limits: Limits, steady: bool = True
) -> tuple[str, str]:
    """Slower, not slower, or not measured; and why not.

    Slower: the ratio is beyond ``limits.ratio``, its interval is beyond 1, the difference is beyond ``limits.seconds``,
    and it is ``steady``. Not slower: the interval stays below the slowdown that must not be missed, or what it allows
    for is shorter than what matters. Anything else is noise.
    """
    low, high = interval
    if ratio > limits.ratio and low > 1 and steady and (ratio - 1) * before > limits.seconds:
        return SLOWER, ""
    if high < 1 + limits.slowdown or (high - 1) * before < limits.seconds:
        return SAME, ""
    if high == math.inf:
        return NOT_MEASURED, "too few rounds"
    return NOT_MEASURED, f"noise: anything from {low:.2f} to {high:.2f} times as long"


def decide(problem: Problem, mode: str, pairs: Pairs, limits: Limits) -> Finding:
    """The verdict on all rounds together; a slowdown is steady where every generation's median shows one."""
    generations = [ratios for ratios in pairs.ratios() if ratios]
    ratios = [ratio for generation in generations for ratio in generation]
    if not ratios:
        return Finding(problem, mode, NOT_MEASURED, reason="no times")
    ratio, interval = summary(ratios).median, median_interval(ratios, limits.doubt)
    before, now = (summary([s for part in parts for s in part]).median for parts in (pairs.before, pairs.now))
    steady = all(summary(generation).median > 1 for generation in generations)
    verdict, reason = verdict_on(ratio, interval, before, limits, steady)
    return Finding(problem, mode, verdict, before, now, ratio, interval, reason)


Opening = Callable[[], Contestant]


@dataclass
class _Item:
    problem: Problem
    modes: tuple[str, ...]
    pairs: dict[str, Pairs]
    absent: Finding | None = None

    def findings(self, limits: Limits) -> Iterator[Finding]:
        if self.absent is not None:
            yield self.absent
            return
        for mode in self.modes:
            yield decide(self.problem, mode, self.pairs[mode], limits)


def gate(
    before: Opening,
    now: Opening,
    problems: Sequence[Problem],
    modes: Sequence[str],
    limits: Limits,
    told: Callable[[str], None] = lambda line: None,
) -> list[Finding]:
    """Time both versions of every problem until each is decided, or as often as is worth it.

    Raises `NotTimed` where either does not start.
    """
    items = [_Item(problem, tuple(modes), {mode: Pairs() for mode in modes}) for problem in problems]
    confirmed: dict[int, int] = {}
    for generation in range(MOST_GENERATIONS):
        todo = [
            item
            for item in items
            if item.absent is None and (generation < GENERATIONS or _unsettled(item, limits, confirmed))
        ]
        if not todo:
            break
        told(f"generation {generation + 1}: {len(todo)} problem(s)")
        _generation(before, now, todo)
    return [finding for item in items for finding in item.findings(limits)]


def _unsettled(item: _Item, limits: Limits, confirmed: dict[int, int]) -> bool:
    """Whether an item needs another generation: noise, or a slowdown that was not seen often enough."""
    verdicts = {finding.verdict for finding in item.findings(limits)}
    if SLOWER in verdicts:
        confirmed[id(item)] = confirmed.get(id(item), 0) + 1
        return confirmed[id(item)] <= CONFIRMATIONS
    return NOT_MEASURED in verdicts


def _generation(before: Opening, now: Opening, items: Sequence[_Item]) -> None:
    """Both processes from start to end, each problem timed once in a few rounds."""
    with ExitStack() as stack:
        pair = {}
        for name, opening in (("before", before), ("now", now)):
            pair[name] = opening()
            stack.callback(pair[name].close)
            pair[name].open()
        for item in items:
            _time(item, pair["before"], pair["now"])


def _time(item: _Item, before: Contestant, now: Contestant) -> None:
    ready = {}
    for name, runner in (("before", before), ("now", now)):
        try:
            ready[name] = runner, runner.prepare(item.problem, item.modes)
        except NotTimed as reason:
            verdict = NEW if name == "before" and str(reason).startswith("no kernel") else NOT_MEASURED
            item.absent = Finding(item.problem, item.modes[-1], verdict, reason=f"{name}: {reason}")
            return
    times = interleave(ready, ROUNDS, best_of=BEST_OF)
    for name, why in times.dropped.items():
        item.absent = Finding(item.problem, item.modes[-1], NOT_MEASURED, reason=f"{name}: {why}")
    for mode in item.modes:
        calm = times.calm(mode, "before", "now")
        earlier, later = ([times.of(name, mode)[turn].seconds for turn in calm] for name in ("before", "now"))
        item.pairs[mode].add(earlier, later)
    for runner in (before, now):
        runner.release()
