"""The bias judge: is a loss layer's tensor off as a whole, by less than any single element may be?

Rounding errors of separate elements have both signs and cancel in a mean. What remains is a factor common to all: the
least-squares scale between what is reported and what is wanted. The elements' own bounds charge every operation FACTOR
roundings, so that correctly rounded operations on the way to a common factor (a weight over a normaliser) stay within
1 / FACTOR of those bounds, averaged with the same weights. Long sums have their errors all in one direction only by
chance; therefore the level is `should`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.contract.case import Array
from conformance.judge.tolerance import BIAS_ELEMENTS, BIAS_SHARE
from refimpl.running_error import Approx

__all__ = ["Bias", "measure_bias"]


@dataclass(frozen=True)
class Bias:
    """The common relative error and its bound."""

    value: float
    bound: float

    @property
    def headroom(self) -> float:
        return self.bound / abs(self.value) if self.value else np.inf


def measure_bias(got: Array, want: Approx) -> Bias | None:
    """The common relative error of an array; None where fewer than `BIAS_ELEMENTS` elements are known well enough to
    tell."""
    mine, value, error = (np.asarray(a, dtype=np.float64).ravel() for a in (got, want.value, want.error))
    with np.errstate(all="ignore"):
        known = np.isfinite(mine) & np.isfinite(value) & (error < np.absolute(value))
    if known.sum() < BIAS_ELEMENTS:
        return None
    mine, value, error = mine[known], value[known], error[known]
    weight = value * value / np.dot(value, value)
    common = float(np.sum(weight * (mine - value) / value))
    return Bias(common, BIAS_SHARE * float(np.sum(weight * error / np.absolute(value))))
