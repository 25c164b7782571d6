"""The few operations that the layers' formulas need beyond numpy's: exact sums, and functions with a kink.

Each takes a float64 array, a complex128 one (complex-step differentiation: comparisons look at the real part, which
is what numpy's ordering of complex numbers does as long as the real parts differ) or an `Approx` (the formula's error
bound).
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.dtypes import FLOAT
from refimpl.running_error import Approx

__all__ = [
    "affine",
    "covering",
    "exact_sum",
    "floored_log",
    "like",
    "log_added",
    "loosened",
    "magnitude",
    "may_be_below",
    "rounded",
    "sigmoid",
    "sign",
    "step",
    "value_of",
    "weighted",
]


def value_of(x: Any) -> NDArray[Any]:
    """The plain real values of an array of any of the three kinds."""
    return np.asarray(x.real)


def exact_sum(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """The sum along ``axis`` (all of them by default), rounded once (`math.fsum`).

    Where a term is not finite, IEEE rules decide: an infinity wins, opposite infinities and NaN give NaN.
    """
    chosen = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in chosen)
    if isinstance(x, Approx):
        return x.total(_sum(x.value, axes), axes)
    if np.iscomplexobj(x):
        return _sum(x.real, axes) + 1j * _sum(x.imag, axes)
    return _sum(np.asarray(x), axes)


def _sum(x: NDArray[Any], axes: tuple[int, ...]) -> NDArray[np.float64]:
    kept = tuple([a for a in range(x.ndim) if a not in axes])
    shape = tuple([x.shape[a] for a in kept])
    count = math.prod(shape)
    if x.size == count:  # nothing is added, but to 0
        return np.asarray(np.add(x.reshape(shape), 0.0, dtype=np.float64))
    rows = x.transpose(kept + axes).reshape(count, math.prod([x.shape[a] for a in axes]))
    sums = np.empty(len(rows))
    if rows.shape[1] == 2:  # a single addition is rounded once
        with np.errstate(all="ignore"):
            np.add(rows[:, 0], rows[:, 1], out=sums, dtype=np.float64)
        return sums.reshape(shape)
    if np.count_nonzero(np.isfinite(rows)) == rows.size:
        with suppress(OverflowError):
            sums[:] = [math.fsum(row) for row in rows.tolist()]
            return sums.reshape(shape)
    for i, row in enumerate(rows):
        sums[i] = _row_sum(row)
    return sums.reshape(shape)


def _row_sum(row: NDArray[Any]) -> float:
    if np.isfinite(row).all():
        with suppress(OverflowError):
            return math.fsum(row.tolist())
    return _ieee_sum(row)


def _ieee_sum(row: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        return float(row.sum())


def like(x: Any, value: Any) -> Any:
    """``value``, which is exact, as an array of the kind and the shape of ``x``.

    For constants that a formula rounds: ``np.log(like(x, base))`` is charged the rounding of the logarithm,
    ``math.log(base)`` is not.
    """
    filled = np.broadcast_to(np.asarray(value, dtype=np.float64), x.shape)
    return x.replaced(filled, x.rounding.of_constant(filled)) if isinstance(x, Approx) else filled


def affine(x: Any, scale: float, shift: float) -> Any:
    """``scale * x + shift``, where a factor of 1 and a term of 0 cost no rounding."""
    scaled = x if scale == 1 else scale * x
    return scaled if shift == 0 else scaled + shift


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
    x.flags.blurred |= bool(blurred.any())
    if x.rounding.sharp:
        return x.replaced(jumped, np.zeros(jumped.shape))
    middle, half = (1.0 + below) / 2, (1.0 - below) / 2
    return x.replaced(np.where(blurred, middle, jumped), np.where(blurred, half, 0.0))


def covering(expression: Any, *alternatives: Any) -> Any:
    """The value of ``expression``, with an error bound that holds for other usual ways to evaluate it as well."""
    if not isinstance(expression, Approx):
        return expression
    error = expression.error
    for other in alternatives:
        error = np.maximum(error, other.error)
    return expression.replaced(expression.value, error)


def loosened(x: Any, by: Any) -> Any:
    """``x``, whose error bound holds where it is off by that much more."""
    return x.replaced(x.value, x.error + by) if isinstance(x, Approx) else x


def rounded(constant: float | NDArray[np.float64], x: Any) -> Any:
    """Constants in the arithmetic of ``x``, which has to round those that are no float32 numbers, such as 1e-4."""
    if not isinstance(x, Approx):
        return constant
    value = np.asarray(constant, np.float64)
    return x.replaced(value, np.where(FLOAT.holds(value), x.rounding.of_constant(value), x.rounding.of(value)))


def log_added(a: Any, b: Any) -> Any:
    """``log(exp(a) + exp(b))``; no more uncertain than the worse of both, beside the roundings of its own."""
    if not isinstance(a, Approx):
        return _log_added(a, b)
    exactly = _log_added(*(x.replaced(x.value, np.zeros(x.shape)) for x in (a, b)))
    return exactly.replaced(exactly.value, exactly.error + np.maximum(a.error, b.error))


def _log_added(a: Any, b: Any) -> Any:
    larger = value_of(a) > value_of(b)
    most, least = np.where(larger, a, b), np.where(larger, b, a)
    return most + np.log1p(np.exp(least - most))


def weighted(x: Any, weight: Any) -> Any:
    """``x * weight``, and 0 where the weight is 0, even for NaN and infinities.

    Caffe scales its gradients with BLAS's scal and axpy, which take a factor of 0 so (OpenBLAS 0.3.21).
    """
    return np.where(value_of(weight) == 0, 0.0 * weight, x * weight)


def may_be_below(x: Any, bound: float) -> NDArray[np.bool_]:
    """Where x < ``bound``, or is not known to be at least that much."""
    value = value_of(x)
    return np.asarray(value - x.error < bound if isinstance(x, Approx) else value < bound)


def floored_log(x: Any, floor: float) -> Any:
    """log(max(x, floor)); finite even where x or its error reaches 0, but in a type that may hold the floor as 0."""
    if not isinstance(x, Approx):
        return np.log(np.maximum(x, floor))
    logarithm = x.through(lambda value: np.log(np.maximum(value, floor)), np.log)
    held = floor - float(x.rounding.of_constant(floor))
    if held == floor:
        return logarithm
    lowered = np.log(floor) - np.log(held) if held > 0 else np.inf
    return loosened(logarithm, np.where(may_be_below(x, floor), lowered, 0.0))


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), accurate in both tails.

    The bound covers Caffe's 0.5 tanh(0.5 x) + 0.5, too, whose error in the left tail is absolute, about ``unit / 2``.
    """
    tail = np.exp(-magnitude(x))
    return covering(np.where(x < 0, tail, 1.0) / (1.0 + tail), 0.5 * np.tanh(0.5 * x) + 0.5)
