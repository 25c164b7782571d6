"""Over the best: how the error of an array compares with the least that its type allows.

The best plain evaluation in an implementation's types is the exact result, rounded once to the type that is stored.
The reading is the root mean square of the array's errors over that of the best one's, which is taken to be no less than
what roundings to nearest come to on average, so that a result that happens to be exact divides by nothing small. A
reading is no bound: an implementation may claim to compute in a type of few digits and be far from the best by right.
"""

from __future__ import annotations

import numpy as np

from conformance.contract.case import Array
from refimpl.running_error import Approx

__all__ = ["over_best"]


def over_best(got: Array, want: Approx) -> float | None:
    """The reading, of the elements that are finite on either side; None where there is none, where nothing is rounded,
    and in Caffe's own types, of which the reference's float64 is no exact result."""
    claim = want.rounding.claim
    if claim is None or got.size != want.size:
        return None
    stored = want.stored or claim.scores
    mine, exact = np.asarray(got, np.float64).ravel(), want.value.ravel()
    counted = np.isfinite(mine) & np.isfinite(exact) & np.isfinite(stored.rounded(exact))
    mine, exact = mine[counted], exact[counted]
    least = _root_mean_square(np.maximum(stored.unit_roundoff * np.absolute(exact), stored.smallest_subnormal / 2))
    if not exact.size or not np.any(exact):
        return None
    best = max(_root_mean_square(stored.rounded(exact) - exact), least / np.sqrt(3))
    return float(_root_mean_square(mine - exact) / best)


def _root_mean_square(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Zero of no values; without overflow on the way."""
    largest = float(np.max(np.absolute(values), initial=0.0))
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest else 0.0
