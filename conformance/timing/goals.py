"""Goals: what a file wants of an implementation's times, held against what was measured.

``goals.schema.json`` says what such a file holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from conformance.contract.dtypes import NAMES
from conformance.contract.errors import UsageError, one_line, unknown
from conformance.contract.toml import read_toml
from conformance.losses import LOSSES
from conformance.timing.against import is_implementation
from conformance.timing.measure import COPY, Plan
from conformance.timing.problem import Problem, timed_losses
from conformance.timing.result import Measured, Result
from conformance.timing.sizes import Size, size_named
from conformance.timing.statistics import median_interval, summary

__all__ = ["Goal", "Goals", "Reached", "merged", "read_goals"]

KINDS = ("ratio", "growth", "memory")

CLEAR = 2.0
"""Ends of an interval may be so many times apart; beyond that nothing was measured."""

DOUBT = 0.05

DISTURBED = "disturbed: threads waited for cores that other processes had"


class _Unmeasured(Exception):
    """Why there is no number."""


@dataclass(frozen=True)
class Reached:
    """What came of a goal for one layer; ``value`` is None where nothing was measured, for ``reason``."""

    wanted: float
    at_most: bool
    value: float | None = None
    reason: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


@dataclass(frozen=True)
class Goal:
    """``wanted`` by layer: of a "ratio" to ``peer`` at least, of "growth" over the sizes or of "memory" at most."""

    kind: str
    sizes: tuple[Size, ...]
    dtype: str
    mode: str
    peer: str
    wanted: Mapping[str, float]

    def problems(self) -> list[Problem]:
        return [problem for layer in self.wanted for problem in self._of(layer)]

    def reached(self, result: Result, own: str) -> dict[str, Reached]:
        """By layer."""
        return {layer: self._reached(layer, result, own) for layer in self.wanted}

    def _of(self, layer: str) -> list[Problem]:
        return [Problem(layer, size, self.dtype) for size in self.sizes]

    def _reached(self, layer: str, result: Result, own: str) -> Reached:
        at_most = self.kind != "ratio"
        steps = [step for problem in self._of(layer) if (step := result.find(problem)) is not None]
        try:
            if len(steps) < len(self.sizes):
                raise _Unmeasured("not among what was timed")
            return Reached(self.wanted[layer], at_most, self._value(steps, own))
        except _Unmeasured as reason:
            return Reached(self.wanted[layer], at_most, reason=str(reason))

    def _value(self, steps: Sequence[Measured], own: str) -> float:
        first = steps[0]
        if self.kind == "memory":
            if own not in first.memory:
                raise _Unmeasured(first.not_timed.get(own, "not measured here"))
            return first.memory[own] / first.problem.held_bytes()
        timed = (own, self.peer) if self.kind == "ratio" else (own,)
        for step in steps:
            for spec in timed:
                if not step.of(spec, self.mode):
                    raise _Unmeasured(step.not_timed.get(spec, f"{spec} was not timed"))
            if step.disturbed(self.mode, *timed):
                raise _Unmeasured(DISTURBED)
        if self.kind == "ratio":
            return _clear_median(first.ratios(own, self.peer, self.mode))
        each = [summary(step.of(own, self.mode)).median / step.problem.size.elements for step in steps]
        return 2 * max(each) / (min(each) + max(each)) - 1


def _clear_median(ratios: Sequence[float]) -> float:
    """The median, unless its interval is too wide to say anything."""
    low, high = median_interval(ratios, DOUBT)
    if not high <= CLEAR * low:
        raise _Unmeasured(f"noise: anything from {low:.2f} to {high:.2f}")
    return summary(ratios).median


@dataclass(frozen=True)
class Goals:
    """What a file wants of ``implementation``."""

    implementation: str
    goals: tuple[Goal, ...]

    def plans(self, threads: int, rounds: int, patience: float) -> list[Plan]:
        """What has to be timed: every problem once, beside all the peers that it is compared with.

        Answers are judged where there are any peers. ``patience`` is that of each plan, in seconds.
        """
        specs: dict[Problem, dict[str, None]] = {}
        modes: dict[Problem, dict[str, None]] = {}
        for goal in self.goals:
            for problem in goal.problems():
                modes.setdefault(problem, {})[goal.mode] = None
                beside = specs.setdefault(problem, {self.implementation: None})
                if goal.peer != COPY and is_implementation(goal.peer):
                    beside[goal.peer] = None
        together: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Problem]] = {}
        for problem in specs:
            together.setdefault((tuple(specs[problem]), tuple(modes[problem])), []).append(problem)
        return [
            Plan(timed, tuple(problems), asked, threads, rounds, patience=patience, judged=len(timed) > 1)
            for (timed, asked), problems in together.items()
        ]


def merged(results: Sequence[Result]) -> Result:
    """One result of several runs on one machine."""
    first, last = results[0], results[-1]
    return replace(
        first,
        measured=tuple(one for result in results for one in result.measured),
        specs=tuple(dict.fromkeys(spec for result in results for spec in result.specs)),
        subjects={spec: about for result in results for spec, about in result.subjects.items()},
        warnings=tuple(dict.fromkeys(line for result in results for line in result.warnings)),
        load=(first.load[0], last.load[1]),
    )


def read_goals(path: Path, peers: Mapping[str, str]) -> Goals:
    """The goals in a TOML file; ``peers`` are implementations by the name that the file has for them.

    Raises `UsageError` that says what is wrong with the file.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    value = read_toml(path, "goals from")
    wrong = best_match(Draft202012Validator(_schema()).iter_errors(value))
    if wrong is not None:
        place = ".".join(map(str, wrong.absolute_path)) or "the whole"
        raise UsageError(f"{path} holds no goals: {one_line(f'{place}: {wrong.message}', 160)}")
    return Goals(value["implementation"], tuple(goal for table in value["goal"] for goal in _read(table, peers)))


def _schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files(__package__) / "goals.schema.json").read_text("utf-8"))
    return loaded


def _read(table: Mapping[str, Any], peers: Mapping[str, str]) -> Iterator[Goal]:
    """A goal over all sizes if it is about growth, one for each size otherwise."""
    kind = next(kind for kind in KINDS if kind in table)
    wanted = table[kind] if isinstance(table[kind], dict) else dict.fromkeys(LOSSES, table[kind])
    for names, known, word in ((wanted, timed_losses(), "layer"), ((table["dtype"],), NAMES, "type")):
        for name in names:
            if name not in known:
                raise unknown(word, name, known)
    try:
        sizes = tuple(size_named(size) for size in table["sizes"])
    except ValueError as error:
        raise UsageError(str(error)) from None
    peer = table.get("peer", "")
    rest = table["dtype"], table.get("mode", "both"), peers.get(peer, peer), wanted
    for group in [sizes] if kind == "growth" else [(size,) for size in sizes]:
        yield Goal(kind, group, *rest)
