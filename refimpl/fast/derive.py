"""Where the polynomial coefficients of `scalar.py` come from: ``python -m refimpl.fast.derive`` prints them.

Each is a minimax polynomial, found by the exchange algorithm of Remez in 60 digits (mpmath, a development dependency):
an approximation whose weighted error equioscillates, so that no other polynomial of its degree does better.

- ``exp r = 1 + r + r^2 q(r)`` on |r| <= ln 2 / 2, error weighted by ``r^2 / exp r`` (relative error of the result);
- ``log1p z = 2 atanh s`` with ``s = z / (2 + z)``, ``atanh s = s + s^3 p(s^2)`` on 0 <= s <= 1/3, error weighted by
``s^3 / atanh s``. The same p serves the natural logarithm, whose s never exceeds 3 - 2 sqrt 2.

Coefficients are then rounded to the working type, lowest order first. The last column printed is the weighted error of
the rounded polynomial, evaluated exactly: what remains before the rounding errors of its evaluation.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import mpmath as mp
import numpy as np

from refimpl.dtypes import FLOAT

__all__ = ["FITS", "Fit", "ln2_split", "weighted_error"]

DIGITS = 60
Real: TypeAlias = Any  # mpmath.mpf: it has no types
Function = Callable[[Real], Real]


@dataclass(frozen=True)
class Fit:
    """One approximation: `target` by a polynomial of `degree` on [`low`, `high`], error times `weight`, in `dtype`."""

    name: str
    target: Function
    weight: Function
    low: Real
    high: Real
    degree: int
    dtype: type[np.floating]

    def coefficients(self) -> list[float]:
        """The minimax coefficients, lowest order first, rounded to `dtype`."""
        with mp.workdps(DIGITS):
            return [float(self.dtype(mp.nstr(c, 40))) for c in remez(self)]


def _exp_tail(r: Real) -> Real:
    """(exp r - 1 - r) / r^2, by its series where the closed form cancels."""
    if abs(r) > mp.mpf("0.01"):
        return (mp.exp(r) - 1 - r) / r**2
    return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, 30])


def _atanh_tail(u: Real) -> Real:
    """(atanh s / s - 1) / s^2 with s = sqrt u, by its series where the closed form cancels."""
    if u > mp.mpf("0.001"):
        return (mp.atanh(mp.sqrt(u)) / mp.sqrt(u) - 1) / u
    return mp.nsum(lambda k: u**k / (2 * k + 3), [0, 30])


def _atanh_weight(u: Real) -> Real:
    return u / (1 + u * _atanh_tail(u))


def _exp_weight(r: Real) -> Real:
    return r**2 / mp.exp(r)


def _fits() -> dict[str, Fit]:
    with mp.workdps(DIGITS):
        half = mp.log(2) / 2 * mp.mpf("1.0001")
        ninth = mp.mpf(1) / 9
        return {
            fit.name: fit
            for fit in (
                Fit("EXP32", _exp_tail, _exp_weight, -half, half, 4, FLOAT.numpy.type),
                Fit("EXP64", _exp_tail, _exp_weight, -half, half, 9, np.float64),
                Fit("ATANH32", _atanh_tail, _atanh_weight, mp.mpf(0), ninth, 4, FLOAT.numpy.type),
                Fit("ATANH64", _atanh_tail, _atanh_weight, mp.mpf(0), ninth, 9, np.float64),
            )
        }


FITS = _fits()


def _polynomial(coefficients: Sequence[Real], x: Real) -> Real:
    value = mp.mpf(0)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _error(fit: Fit, coefficients: Sequence[Real]) -> Function:
    return lambda x: (_polynomial(coefficients, x) - fit.target(x)) * fit.weight(x)


def _extremum(error: Function, low: Real, high: Real) -> Real:
    """Where |error| is largest between two of its zeros: the best of 32 points, then golden section around it."""
    step = (high - low) / 32
    best = max((low + i * step for i in range(33)), key=lambda x: abs(error(x)))
    low, high = max(low, best - step), min(high, best + step)
    ratio = (mp.sqrt(5) - 1) / 2
    for _ in range(50):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if abs(error(left)) < abs(error(right)):
            low = left
        else:
            high = right
    return (low + high) / 2


def _zero(error: Function, low: Real, high: Real) -> Real:
    """A zero between two points where the error has opposite signs: bisection."""
    sign = mp.sign(error(low))
    for _ in range(80):
        middle = (low + high) / 2
        if mp.sign(error(middle)) == sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _levelled(fit: Fit, nodes: Sequence[Real]) -> list[Real]:
    """The polynomial whose weighted error alternates with one magnitude over the nodes: a linear system."""
    rows = [[x**k for k in range(fit.degree + 1)] + [(-1) ** i / fit.weight(x)] for i, x in enumerate(nodes)]
    solution = mp.lu_solve(mp.matrix(rows), mp.matrix([fit.target(x) for x in nodes]))
    return list(solution)[:-1]


@functools.cache
def remez(fit: Fit, rounds: int = 20) -> list[Real]:
    """The minimax polynomial of `fit`, lowest order first, unrounded.

    Nodes start near Chebyshev's and move to the error's own extrema until those are level to 1e-6.
    Where the weight vanishes there is no extremum, so a first node that falls there is moved aside.
    """
    count = fit.degree + 2
    middle, radius = (fit.high + fit.low) / 2, (fit.high - fit.low) / 2
    nodes = [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    nodes = [x + radius / 10 if abs(x) < radius / 20 else x for x in nodes]
    for _ in range(rounds):
        coefficients = _levelled(fit, nodes)
        error = _error(fit, coefficients)
        zeros = [_zero(error, a, b) for a, b in itertools.pairwise(nodes)]
        edges = [fit.low, *zeros, fit.high]
        nodes = [_extremum(error, a, b) for a, b in itertools.pairwise(edges)]
        heights = [abs(error(x)) for x in nodes]
        if max(heights) < min(heights) * (1 + mp.mpf("1e-6")):
            return coefficients
    span = f"{mp.nstr(min(heights), 5)} to {mp.nstr(max(heights), 5)}"
    raise ArithmeticError(f"{fit.name}: the error did not level off in {rounds} rounds: {span}")


def weighted_error(fit: Fit, coefficients: Sequence[float], points: int = 500) -> float:
    """The largest weighted error of rounded coefficients over equidistant points, evaluated in 60 digits."""
    with mp.workdps(DIGITS):
        error = _error(fit, [mp.mpf(c) for c in coefficients])
        step = (fit.high - fit.low) / points
        return float(max(abs(error(fit.low + i * step)) for i in range(points + 1)))


def ln2_split(bits: int, dtype: type[np.floating]) -> tuple[float, float]:
    """ln 2 as high + low: `high` has `bits` significant bits, so that its product with a small integer is exact."""
    with mp.workdps(DIGITS):
        ln2 = mp.log(2)
        high = mp.nint(ln2 * mp.mpf(2) ** bits) / mp.mpf(2) ** bits
        return float(dtype(mp.nstr(high, 40))), float(dtype(mp.nstr(ln2 - high, 40)))


def main() -> None:
    """Print every constant of `scalar.py`."""
    for fit in FITS.values():
        coefficients = fit.coefficients()
        print(f"{fit.name} = {coefficients}  # {weighted_error(fit, coefficients):.2e}")
    for name, bits, dtype in (("LN2_32", 15, FLOAT.numpy.type), ("LN2_64", 41, np.float64)):
        high, low = ln2_split(bits, dtype)
        print(f"{name} = ({high!r}, {low!r})")


if __name__ == "__main__":
    main()
