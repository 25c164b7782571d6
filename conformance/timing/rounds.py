"""Rounds: contestants timed in turn, again and again, so that whatever the machine does meanwhile happens to all of
them.

pytest-benchmark times one function, all its rounds in a row, and then the next; minutes may lie between two that are
compared, and the machine's clock, its caches and its other tenants change in seconds. That is why these rounds are a
thin layer of our own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conformance.timing.contestants import Contestant, Sample
from conformance.timing.process import TOLERATED
from conformance.timing.subjects import NotTimed

__all__ = ["FEWEST", "Times", "calm_rounds", "interleave", "order_of"]

SETTLE = 0.01
"""Seconds of rest after a contestant whose threads may go on spinning: GNU's OpenMP gives up after some 5 ms."""

FEWEST = 5
"""Rounds that are made even where they take longer than they may, and calm ones that make the others superfluous."""


@dataclass
class Times:
    """Samples, round by round, by contestant and mode; and the reason where a contestant dropped out."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def of(self, spec: str, mode: str) -> list[Sample]:
        return self.samples.get(spec, {}).get(mode, [])

    def seconds(self) -> dict[str, dict[str, list[float]]]:
        """Seconds per call alone."""
        return {s: {m: [one.seconds for one in every] for m, every in of.items()} for s, of in self.samples.items()}

    def waited(self) -> dict[str, dict[str, list[float | None]]]:
        """Seconds waited per second alone."""
        return {s: {m: [one.waited for one in every] for m, every in of.items()} for s, of in self.samples.items()}

    def calm(self, mode: str, *specs: str) -> list[int]:
        """The rounds in which none of these had to wait for a core; all, where too few would be left."""
        return calm_rounds([[sample.waited for sample in self.of(spec, mode)] for spec in specs])


def calm_rounds(waited: Sequence[Sequence[float | None]]) -> list[int]:
    """Rounds in which none of some contestants waited for a core, of those that all of them finished.

    All of those, where fewer than `FEWEST` would be left.
    """
    finished = range(min((len(each) for each in waited), default=0))
    calm = [turn for turn in finished if all((each[turn] or 0.0) <= TOLERATED for each in waited)]
    return calm if len(calm) >= FEWEST else list(finished)


def order_of(count: int, turn: int) -> list[int]:
    """The order of a round: everybody is first as often as last, and follows everybody else."""
    order = [(i + turn // 2) % count for i in range(count)]
    return order[::-1] if turn % 2 else order


def interleave(
    ready: Mapping[str, tuple[Contestant, Sequence[str]]], rounds: int, limit: float = 60.0, best_of: int = 1
) -> Times:
    """Time prepared contestants, each in its modes; ``limit`` is in seconds, for rounds beyond the first few.

    A contestant that fails is out of all further rounds, with its reason; its times so far are kept.
    """
    times = Times({spec: {mode: [] for mode in modes} for spec, (_, modes) in ready.items()})
    specs = list(ready)
    start = time.monotonic()
    for turn in range(rounds):
        if turn >= FEWEST and time.monotonic() - start > limit:
            break
        for index in order_of(len(specs), turn):
            spec = specs[index]
            if spec in times.dropped:
                continue
            contestant, modes = ready[spec]
            try:
                sampled = contestant.sample(modes, best_of)
            except NotTimed as reason:
                times.dropped[spec] = str(reason)
                continue
            for mode, sample in sampled.items():
                times.samples[spec][mode].append(sample)
            if contestant.spins:
                time.sleep(SETTLE)
    return times
