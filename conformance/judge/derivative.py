"""The derivative judge: a gradient against differences of the loss that the implementation itself reports.

Central differences at halved steps, extrapolated (Richardson). Of the whole tableau the entry is taken whose error is
the smallest: how far it is from its neighbours (C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)",
Adv. Eng. Softw. 4(2), 1982), the loss's noise over the step, and, where nobody says how far the next kink is, half of
the gap between the slopes on the right and on the left, extrapolated likewise: a kink within the steps shows in it.
Nothing here knows a formula: what is asked is whether the reported gradient is the derivative of the reported loss.
Where the estimate is too coarse to tell, the answer is that it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import DOUBLE
from conformance.judge.tolerance import (
    DIFFERENCE_LEVELS,
    DIFFERENCE_ROUNDINGS,
    DIFFERENCE_SAFETY,
    DIFFERENCE_STEP,
)

__all__ = ["Search", "Slope", "chosen_coordinates", "slope"]


@dataclass(frozen=True)
class Slope:
    """A derivative and how far it may be off."""

    value: float
    error: float


@dataclass(frozen=True)
class Search:
    """Which steps are tried: from ``first`` on, halved, ``levels`` of them, none below ``smallest``; it ends where the
    error is ``enough``. With ``here``, the loss at a change of 0, a kink within the steps is looked for."""

    first: float = DIFFERENCE_STEP
    levels: int = DIFFERENCE_LEVELS
    smallest: float = 0.0
    enough: float = 0.0
    here: float | None = None


def slope(
    loss: Callable[[float], float], nearest_kink: float = np.inf, noise: float = 0.0, search: Search | None = None
) -> Slope:
    """The derivative at 0 of ``loss`` as a function of one change, from the losses at changes of both signs.

    ``nearest_kink`` bounds the largest step to a quarter of the distance to the nearest point without a derivative;
    ``noise`` is the standard deviation of one loss where that is known to be more than float64's roundings.
    """
    search = search or Search()
    step = search.first
    if nearest_kink < np.inf:
        step = min(step, 2.0 ** np.floor(np.log2(nearest_kink / 4)))
    slopes: list[float] = []
    gaps: list[float] = []
    best = Slope(np.nan, np.inf)
    for _ in range(search.levels):
        above, below = loss(step), loss(-step)
        roundings = DIFFERENCE_ROUNDINGS * DOUBLE.unit_roundoff * max(abs(above), abs(below))
        unsure = max(roundings, DIFFERENCE_SAFETY * noise) / step
        extrapolated = _extrapolated((above - below) / (2 * step), slopes, 2)
        kinked = _extrapolated((above - 2 * search.here + below) / step, gaps, 1) if search.here is not None else []
        for k in range(1, len(extrapolated)):
            apart = max(abs(extrapolated[k] - extrapolated[k - 1]), abs(extrapolated[k] - slopes[k - 1]))
            error = DIFFERENCE_SAFETY * apart + unsure + (abs(kinked[k]) / 2 if kinked else 0.0)
            if error < best.error:
                best = Slope(extrapolated[k], error)
        if best.error <= search.enough or unsure > best.error or step / 2 < search.smallest:
            break
        slopes, gaps = extrapolated, kinked
        step /= 2
    return best


def _extrapolated(value: float, coarser: Sequence[float], power: int) -> list[float]:
    """A row of the tableau: ``value``, and what is left of it with more and more terms of the step's powers ``power``,
    ``power + 2`` and so on taken out, with the row of twice the step."""
    row = [value]
    for k, other in enumerate(coarser):
        row.append(row[-1] + (row[-1] - other) / (2.0 ** (power + 2 * k) - 1))
    return row


def chosen_coordinates(gradient: Array, most: int) -> list[tuple[int, ...]]:
    """At most ``most`` coordinates: all of a small array; of a large one the ends, the extremes, a zero, and an even
    spread."""
    flat = np.nan_to_num(np.asarray(gradient, dtype=np.float64).ravel())
    if flat.size <= most:
        picked = list(range(flat.size))
    else:
        zeros = np.flatnonzero(flat == 0)
        special = [0, flat.size - 1, int(flat.argmax()), int(flat.argmin()), *zeros[:1].tolist()]
        spread = np.linspace(0, flat.size - 1, most - len(special)).astype(int).tolist()
        picked = sorted({*special, *spread})
    return [tuple(int(i) for i in np.unravel_index(flat_index, np.shape(gradient))) for flat_index in picked]
