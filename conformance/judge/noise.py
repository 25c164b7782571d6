"""Noise: how far a loss is from being a smooth function of its inputs, for whatever reason it rounds.

High differences of a smooth function over a short stretch vanish, those of rounding errors grow by known factors; what
is left of them is the noise (J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33(3),
2011). So a layer that keeps a float32 buffer among float64 blobs gives itself away.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from conformance.contract.dtypes import DOUBLE, Dtype
from conformance.judge.tolerance import NOISE_ORDER, NOISE_POINTS, noise_step

__all__ = ["noise_of"]


def noise_of(loss: Callable[[float], float], dtype: Dtype = DOUBLE) -> float:
    """The standard deviation of the error of one evaluation of ``loss``, from its values near a change of 0.

    At least what rounding the loss to ``dtype`` gives it: a loss that hardly changes over the stretch shows none of
    that.
    """
    step = noise_step(dtype)
    values = np.array([loss(i * step) for i in range(NOISE_POINTS)])
    seen = max(_level(np.diff(values, order), order) for order in range(NOISE_ORDER, NOISE_POINTS))
    return max(seen, dtype.unit_roundoff * float(np.max(np.abs(values))) / math.sqrt(3))


def _level(differences: np.ndarray[tuple[int, ...], np.dtype[np.float64]], order: int) -> float:
    """A difference of independent errors of order k has the variance (2k)! / (k!)^2 of one of them."""
    return float(np.sqrt(np.mean(differences**2) / math.comb(2 * order, order)))
