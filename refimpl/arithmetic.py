"""The few operations that the layers' formulas need beyond numpy's: exact sums, and functions with a kink.

Each takes a float64 array, a complex128 one (complex-step differentiation: comparisons look at the real part, which is what
numpy's ordering of complex numbers does as long as the real parts differ) or an `Approx` (the formula's error bound).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.running_error import Approx

__all__ = ["exact_sum", "magnitude", "sign", "step", "value_of"]


def value_of(x: Any) -> NDArray[Any]:
    """The plain real values of an array of any of the three kinds."""
    return np.asarray(x.real)


def exact_sum(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """The sum along ``axis`` (all of them by default), rounded once (`math.fsum`).

    Where a term is not finite, IEEE rules decide: an infinity wins, opposite infinities and NaN give NaN.
    """
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    if isinstance(x, Approx):
        return x.total(_sum(x.value, axes), axes)
    if np.iscomplexobj(x):
        return _sum(x.real, axes) + 1j * _sum(x.imag, axes)
    return _sum(np.asarray(x), axes)


def _sum(x: NDArray[Any], axes: tuple[int, ...]) -> NDArray[np.float64]:
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    shape = tuple(x.shape[a] for a in kept)
    rows = np.transpose(x, kept + axes).reshape(math.prod(shape), -1)
    sums = np.empty(len(rows))
    finite = np.isfinite(rows).all(axis=1)
    for i, row in enumerate(rows):
        sums[i] = _fsum(row) if finite[i] else _ieee_sum(row)
    return sums.reshape(shape)


def _fsum(row: NDArray[Any]) -> float:
    try:
        return math.fsum(row.tolist())
    except OverflowError:
        return _ieee_sum(row)


def _ieee_sum(row: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        return float(row.sum())


def magnitude(x: Any) -> Any:
    """|x| by comparison, so that a complex step keeps its sign."""
    return np.where(x < 0, -x, x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; Caffe's sign(0) = 0. Where an error bound reaches across the kink, both sides are right."""
    return _jump(x, -1.0)


def step(x: Any) -> Any:
    """1 where x > 0, else 0: the derivative of max(x, 0), with Caffe's choice of 0 at the kink."""
    return _jump(x, 0.0)


def _jump(x: Any, below: float) -> Any:
    value = value_of(x)
    at_zero = 0.0 if below == 0 else np.where(np.isnan(value), np.nan, 0.0)
    jumped = np.where(value > 0, 1.0, np.where(value < 0, below, at_zero))
    if not isinstance(x, Approx):
        return jumped
    blurred = (np.absolute(value) <= x.error) & ((x.error > 0) | x.rounding.subgradient)
    middle, half = (1.0 + below) / 2, (1.0 - below) / 2
    reach = np.where(blurred, half + np.absolute(jumped - middle), 0.0)
    return Approx(jumped, reach, x.rounding)
