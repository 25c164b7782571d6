"""The scalar functions of `refimpl.fast`: their worst error is what their table says, and special values are exact."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

mp = pytest.importorskip("mpmath")
numba = pytest.importorskip("numba")

from refimpl.fast import derive, scalar  # noqa: E402
from refimpl.fast.scalar import FLAGS, INT_MIN, exp, log, log1p, sigmoid, truncated  # noqa: E402

Array = NDArray[Any]
nan, inf = np.nan, np.inf


@numba.njit(**FLAGS)
def exp_of(x: Array, result: Array) -> None:
    for i in range(x.size):
        result[i] = exp(x[i])


@numba.njit(**FLAGS)
def log1p_of(x: Array, result: Array) -> None:
    for i in range(x.size):
        result[i] = log1p(x[i])


@numba.njit(**FLAGS)
def log_of(x: Array, result: Array) -> None:
    for i in range(x.size):
        result[i] = log(x[i])


@numba.njit(**FLAGS)
def sigmoid_of(x: Array, result: Array) -> None:
    for i in range(x.size):
        result[i] = sigmoid(x[i])


@numba.njit(**FLAGS)
def truncated_of(x: Array, result: Array) -> None:
    for i in range(x.size):
        result[i] = truncated(x[i])


def of(function: Any, x: Array) -> Array:
    result = np.empty_like(x)
    function(x, result)
    return result


def documented_ulp(name: str, dtype: str) -> float:
    """The worst error that the table in the module's docstring admits."""
    row = re.search(rf"^\| ``{name}\(.*$", scalar.__doc__ or "", re.MULTILINE)
    assert row
    return float(row.group().split("|")[{"float32": 3, "float64": 4}[dtype]])


def worst_ulp(x: Array, got: Array, exact: Callable[[Any], Any]) -> float:
    """The largest error of `got` in units in the last place of the exact result, from 40 digits."""
    worst = 0.0
    with mp.workdps(40):
        for argument, result in zip(x.tolist(), got.tolist(), strict=True):
            true = exact(mp.mpf(argument))
            worst = max(worst, float(abs(mp.mpf(result) - true) / mp.mpf(math.ulp(float(true)))))
    return worst


RNG = np.random.default_rng(13)
HALVES = -(np.arange(0, 1000) + 0.5) * math.log(2)
EXP_ARGUMENTS = np.concatenate(
    [
        -np.exp(RNG.uniform(math.log(1e-20), math.log(708.39), 2000)),
        -RNG.uniform(0, 708.39, 2000),
        HALVES,
        HALVES + math.log(2) / 2,
    ]
)
UNIT_ARGUMENTS = np.concatenate([np.exp(RNG.uniform(-690, 0, 2000)), RNG.uniform(0.5, 1, 2000), [1.0, 5e-324, 1e-300]])
LOG_ARGUMENTS = np.concatenate(
    [
        np.exp(RNG.uniform(-708, 709, 2000)),
        RNG.uniform(0.5, 2, 2000),
        1 + RNG.uniform(-1e-3, 1e-3, 1000),
        RNG.uniform(1, 1000, 1000),
    ]
    + [np.nextafter(v, [0, v, 9]) for v in (1.0, 2.0, math.sqrt(2), math.sqrt(0.5))]
    + [[2.0**-1022, 1.7976931348623157e308]]
)


@pytest.mark.parametrize(
    ("name", "function", "exact", "x"),
    [
        ("exp", exp_of, mp.exp, EXP_ARGUMENTS),
        ("log1p", log1p_of, mp.log1p, UNIT_ARGUMENTS),
        ("log", log_of, mp.log, LOG_ARGUMENTS),
    ],
    ids=["exp", "log1p", "log"],
)
def test_float64_errors_stay_within_the_documented_ones(name: str, function: Any, exact: Any, x: Array) -> None:
    x = x[x > -708.39]
    assert worst_ulp(x, of(function, x), exact) <= documented_ulp(name, "float64")


@numba.njit
def _worst32(first: int, last: int, sign: int, is_exp: bool) -> tuple[float, int]:
    """The worst error, in units in the last place, over the float32 numbers with the bits first..last-1 and a sign bit;
    and how many results below the smallest normal number are neither 0 nor that number."""
    worst, stray = 0.0, 0
    for bits in range(first, last):
        x = np.uint32(np.uint32(bits) | np.uint32(sign)).view(np.float32)
        if is_exp:
            got, true = exp(x), math.exp(np.float64(x))
        else:
            got, true = log1p(x), math.log1p(np.float64(x))
        if is_exp and true < 2.0**-126:
            stray += got != 0 and abs(np.float64(got) - true) > 2.0**-149
        elif true > 0:
            exponent = max(math.frexp(true)[1] - 1, -126)
            error = abs(np.float64(got) - true) * 2.0 ** (23 - exponent)
            worst = worst if error <= worst else error
    return worst, stray


def bits_of(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


@pytest.mark.slow
def test_float32_errors_of_every_argument() -> None:
    """All 2^31 + 2^24 arguments of exp and 2^30 of log1p: half a minute each on one core."""
    negative = 1 << 31
    worst, stray = _worst32(0, bits_of(inf) + 1, negative, True)
    assert 0.5 < worst <= documented_ulp("exp", "float32") and stray == 0
    worst, _ = _worst32(0, bits_of(1) + 1, 0, False)
    assert 0.5 < worst <= documented_ulp("log1p", "float32")
    nans = np.concatenate([np.arange(bits_of(inf) + 1, 2**31, dtype=np.uint32)] * 2)
    nans[nans.size // 2 :] |= np.uint32(negative)
    for function in (exp_of, log1p_of):
        assert np.isnan(of(function, nans.view(np.float32))).all()


@pytest.mark.parametrize("low", [bits_of(2.0**k) for k in (-30, -10, -3, -1, 0, 3, 5, 6)])
def test_float32_errors_of_some_arguments(low: int) -> None:
    """The first 2^13 and the last 2^13 numbers of some binades: a part of the slow test."""
    for first in (low, low + (1 << 23) - (1 << 13)):
        worst, stray = _worst32(first, first + (1 << 13), 1 << 31, True)
        assert worst <= documented_ulp("exp", "float32") and stray == 0
        if first + (1 << 13) <= bits_of(1):
            assert _worst32(first, first + (1 << 13), 0, False)[0] <= documented_ulp("log1p", "float32")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_arguments(dtype: Any) -> None:
    least = {np.float32: -87.34, np.float64: -708.4}[dtype]
    assert of(exp_of, np.array([0, -0.0, -inf, least, -1e30], dtype)).tolist() == [1, 1, 0, 0, 0]
    assert of(log1p_of, np.array([0, 0], dtype)).tolist() == [0, 0]
    assert of(log_of, np.array([1, inf], dtype)).tolist() == [0, inf]
    for function in (exp_of, log1p_of, log_of, sigmoid_of):
        assert np.isnan(of(function, np.array([nan, -nan], dtype))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_right_in_both_tails(dtype: Any) -> None:
    x = np.array([0, -0.0, 1, -1, 30, -30, -80, inf, -inf, 1e30, -1e30], dtype)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        exact = np.where(wide >= 0, 1 / (1 + np.exp(-wide)), np.exp(wide) / (1 + np.exp(wide)))
    exact[np.isneginf(x)] = 0
    np.testing.assert_allclose(of(sigmoid_of, x), exact, rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truncation_is_static_cast_to_int(dtype: Any) -> None:
    x = np.array([1.7, -0.5, -0.999, 2.9, -2.9, 0, 2147483520, -(2.0**31), 2.0**31, 1e20, -1e20, nan, inf, -inf], dtype)
    result = np.empty(x.size, np.int64)
    truncated_of(x, result)
    assert result.tolist() == [1, 0, 0, 2, -2, 0, 2147483520, -(2**31), *[INT_MIN] * 6]
    whole = np.array([3, -4, 2**31, -(2**40)])
    truncated_of(whole, result[:4])
    assert result[:4].tolist() == [3, -4, INT_MIN, INT_MIN]


CONSTANTS = {"EXP32": "A", "ATANH32": "B", "EXP64": "C", "ATANH64": "D"}


@pytest.mark.parametrize("fit", derive.FITS.values(), ids=derive.FITS)
def test_coefficients_are_the_derived_ones(fit: derive.Fit) -> None:
    derived = fit.coefficients()
    assert [float(getattr(scalar, f"{CONSTANTS[fit.name]}{i}")) for i in range(fit.degree + 1)] == derived
    assert derive.weighted_error(fit, derived, 200) < 0.1 * np.finfo(fit.dtype).eps


def test_the_parts_of_ln_2_are_the_derived_ones() -> None:
    assert derive.ln2_split(15, np.float32) == (float(scalar.LN2_HIGH_32), float(scalar.LN2_LOW_32))
    assert derive.ln2_split(41, np.float64) == (scalar.LN2_HIGH_64, scalar.LN2_LOW_64)


def test_a_plain_polynomial_fit_is_worse() -> None:
    """The exchange algorithm earns its keep: Taylor's polynomial of the same degree has many times the error."""
    fit = derive.FITS["EXP32"]
    taylor = [1 / math.factorial(k + 2) for k in range(fit.degree + 1)]
    assert derive.weighted_error(fit, taylor, 200) > 10 * derive.weighted_error(fit, fit.coefficients(), 200)


def test_the_script_prints_every_constant(capsys: pytest.CaptureFixture[str]) -> None:
    derive.main()
    printed = capsys.readouterr().out
    assert all(f"{name} = " in printed for name in [*derive.FITS, "LN2_32", "LN2_64"])


def test_python_sees_numpy_meanings() -> None:
    """What documentation tools and the CUDA simulator's host side call."""
    assert scalar.exp(-1.0) == pytest.approx(math.exp(-1)) and scalar.log1p(0.5) == pytest.approx(math.log1p(0.5))
    assert scalar.log(2.0) == pytest.approx(math.log(2)) and scalar.like(np.float32(1), 3.0).dtype == np.float32
