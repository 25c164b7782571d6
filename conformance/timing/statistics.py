"""Statistics: what a handful of times says, without assuming how they are distributed.

Times of a busy machine have a long tail of interruptions, so a time is its median and its spread the distance of the
quartiles. Two subjects are compared round by round: what slowed the machine down in a round slowed both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Summary", "median_interval", "pair_ratios", "summary"]


@dataclass(frozen=True)
class Summary:
    """The median of some numbers, their quartiles and their least."""

    median: float
    low: float
    high: float
    least: float
    count: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles, relative to the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summary(values: Sequence[float]) -> Summary:
    """Of at least one number. Quartiles are interpolated between neighbours, as numpy's are by default."""
    if not values:
        raise ValueError("no values to summarise")
    ordered = sorted(values)
    return Summary(
        _quantile(ordered, 0.5), _quantile(ordered, 0.25), _quantile(ordered, 0.75), ordered[0], len(ordered)
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def pair_ratios(base: Sequence[float], other: Sequence[float]) -> list[float]:
    """How many times as long the other took, round by round; rounds that only one of them finished are left out."""
    return [b / a for a, b in zip(base, other, strict=False) if a > 0]


def median_interval(values: Sequence[float], doubt: float) -> tuple[float, float]:
    """An interval that misses the median of what the values are drawn from with a probability of at most ``doubt``.

    Two of the values themselves, by the sign test: it holds for any distribution. Infinite where there are too few
    values.
    """
    ordered = sorted(values)
    n = len(ordered)
    outside = 0
    tail = 0.0
    while outside <= n // 2:
        tail += math.comb(n, outside) / 2.0**n
        if 2 * tail > doubt:
            break
        outside += 1
    if outside == 0:
        return -math.inf, math.inf
    return ordered[outside - 1], ordered[n - outside]
