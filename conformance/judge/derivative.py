"""The derivative judge: a gradient against differences of the loss that the implementation itself reports.

Central differences at halved steps, extrapolated (Richardson; the error estimate is the last change of the
extrapolation plus the roundings of the two losses divided by the step). Nothing here knows a formula: what is asked
is whether the reported gradient is the derivative of the reported loss. Where the estimate is too coarse to tell, the
answer is that it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
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

__all__ = ["Slope", "chosen_coordinates", "slope"]


@dataclass(frozen=True)
class Slope:
    """A derivative and how far it may be off."""

    value: float
    error: float


def slope(loss: Callable[[float], float], nearest_kink: float = np.inf, noise: float = 0.0) -> Slope:
    """The derivative at 0 of ``loss`` as a function of one coordinate's change, from the losses at changes of both
    signs.

    ``nearest_kink`` bounds the largest step to a quarter of the distance to the nearest point without a derivative;
    ``noise`` is the standard deviation of one loss where that is known to be more than float64's roundings.
    """
    step = (
        min(DIFFERENCE_STEP, 2.0 ** np.floor(np.log2(nearest_kink / 4))) if nearest_kink < np.inf else DIFFERENCE_STEP
    )
    row: list[float] = []
    best = Slope(np.nan, np.inf)
    for _ in range(DIFFERENCE_LEVELS):
        above, below = loss(step), loss(-step)
        roundings = DIFFERENCE_ROUNDINGS * DOUBLE.unit_roundoff * max(abs(above), abs(below))
        unsure = max(roundings, DIFFERENCE_SAFETY * noise) / step
        extrapolated = [(above - below) / (2 * step)]
        for k, coarser in enumerate(row):
            extrapolated.append(extrapolated[-1] + (extrapolated[-1] - coarser) / (4.0 ** (k + 1) - 1))
        if row:
            error = DIFFERENCE_SAFETY * abs(extrapolated[-1] - row[-1]) + unsure
            if error < best.error:
                best = Slope(extrapolated[-1], error)
            elif unsure > best.error:
                break
        row = extrapolated
        step /= 2
    return best


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
