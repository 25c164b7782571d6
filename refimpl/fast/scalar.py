# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Scalar mathematics of the loss layers, written once for the CPU and the CUDA kernels.

Every function is generic over float32 and float64: it computes in the type of its argument and returns that type.
Kernels must not mix float32 values with Python literals (Numba would widen to float64), hence `like`.

`exp`, `log1p` and `log` have two bodies. For the CPU they are the polynomials below, which LLVM vectorises inside a
loop (calls to libm would not be); on a GPU they are libdevice's. Domain and worst error on the CPU, in units in the
last place of the result, with or without fused multiply-add (``docs/fast.md`` says how they were measured):

| function | domain | float32 | float64 |
|---|---|---|---|
| ``exp(x)`` | x <= 0 and NaN; a result below the smallest normal number is 0 | 1.01 | 0.98 |
| ``log1p(z)`` | 0 <= z <= 1 and NaN | 1.30 | 1.24 |
| ``log(x)`` | normal x > 0, +inf, NaN | through float64 | 1.18 |

The coefficients are derived in `refimpl.fast.derive`. Compile flags allow a product and a sum to fuse (``contract``),
and nothing else: reassociation would cancel the rounding constant, and NaN must survive.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, njit, types
from numba.extending import overload

from refimpl.dtypes import FLOAT

__all__ = [
    "FLAGS",
    "INLINED",
    "INT_MIN",
    "cross_entropy",
    "exp",
    "like",
    "log",
    "log1p",
    "log_of_one_and",
    "sigmoid",
    "sqrt",
    "truncated",
]

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}

INLINED: dict[str, Any] = {**FLAGS, "forceinline": True}

SINGLE = FLOAT.numpy.type
"""The narrower of the two types, which compiled code calls to convert."""

SINGLE_TYPE = from_dtype(FLOAT.numpy)

INT_MIN = -(2**31)
"""What ``static_cast<int>`` of a NaN or of a value beyond int gives on x86: no class has this label."""


def like(x: Any, constant: float) -> Any:
    """`constant` in the floating type of `x`."""
    return np.asarray(x).dtype.type(constant)


def exp(x: Any) -> Any:
    """e to the power of x, for x <= 0."""
    with np.errstate(all="ignore"):
        return np.exp(x)


def log1p(z: Any) -> Any:
    """The natural logarithm of 1 + z, for 0 <= z <= 1."""
    return np.log1p(z)


def log(x: Any) -> Any:
    """The natural logarithm of a normal x > 0."""
    return np.log(x)


def sqrt(x: Any) -> Any:
    """The square root, correctly rounded."""
    return np.sqrt(x)


def _like32(x: Any, constant: float) -> Any:
    return SINGLE(constant)


def _like64(x: Any, constant: float) -> Any:
    return np.float64(constant)


@overload(like)
def _like(x: Any, constant: float) -> Callable[..., Any]:
    return _like32 if x == SINGLE_TYPE else _like64


LOG2E = math.log2(math.e)

# float32: 2^23 * 1.5 rounds a sum to an integer; ln 2 in two parts, the first short enough for exact products.
A0, A1, A2, A3, A4 = (SINGLE(c) for c in (0.4999999403953552, 0.1666652113199234, 0.04166838899254799,
                                              0.008368716575205326, 0.001381459878757596))  # fmt: skip
B0, B1, B2, B3, B4 = (SINGLE(c) for c in (0.3333333730697632, 0.19999444484710693, 0.14308297634124756,
                                              0.10715370625257492, 0.12144778668880463))  # fmt: skip
ZERO, ONE, TWO = SINGLE(0), SINGLE(1), SINGLE(2)
LOG2E_32, ROUND_32 = SINGLE(LOG2E), SINGLE(1.5 * 2**23)
LN2_HIGH_32, LN2_LOW_32 = SINGLE(0.693145751953125), SINGLE(1.428606765330187e-06)
LEAST_32 = SINGLE(-87.33654)
BIAS_32, SHIFT_32 = np.int32(127 << 23), np.int32(23)


def _exp32(x: Any) -> Any:
    shifted = x * LOG2E_32 + ROUND_32
    n = shifted - ROUND_32
    r = (x - n * LN2_HIGH_32) - n * LN2_LOW_32
    q = (((A4 * r + A3) * r + A2) * r + A1) * r + A0
    power = np.int32(np.int32(SINGLE(shifted).view(np.int32) << SHIFT_32) + BIAS_32).view(SINGLE)
    y = (q * (r * r) + r + ONE) * power
    return ZERO if x < LEAST_32 else y


def _log1p32(z: Any) -> Any:
    s = z / (TWO + z)
    u = s * s
    p = (((B4 * u + B3) * u + B2) * u + B1) * u + B0
    return z - s * (z - (u + u) * p)


# float64: the same with 2^52 * 1.5 and longer polynomials.
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 = (
    0.5000000000000011, 0.16666666666666413, 0.041666666666530155, 0.008333333333494465, 0.0013888888943630203,
    0.0001984126950656992, 2.4801493098807193e-05, 2.7557586382096293e-06, 2.7630248415177853e-07, 2.50000588781165e-08,
)  # fmt: skip
D0, D1, D2, D3, D4, D5, D6, D7, D8, D9 = (
    0.33333333333333154, 0.20000000000077559, 0.14285714274058975, 0.11111111976824836, 0.090908722394789,
    0.07693274197661662, 0.06650560670425044, 0.060524726220020426, 0.041724849128626486, 0.08504880051281268,
)  # fmt: skip
ROUND_64 = 1.5 * 2.0**52
LN2_HIGH_64, LN2_LOW_64 = 0.6931471805601177, -1.7239444525614835e-13
LEAST_64 = -708.3964185322641
BIAS_64, SHIFT_64 = np.int64(1023 << 52), np.int64(52)
SQRT_HALF_BITS, MANTISSA_64 = np.int64(0x3FE6A09E667F3BCD), np.int64((1 << 52) - 1)
LARGEST_64 = 1.7976931348623157e308


def _exp64(x: Any) -> Any:
    shifted = x * LOG2E + ROUND_64
    n = shifted - ROUND_64
    r = (x - n * LN2_HIGH_64) - n * LN2_LOW_64
    q = ((((C9 * r + C8) * r + C7) * r + C6) * r + C5) * r + C4
    q = (((q * r + C3) * r + C2) * r + C1) * r + C0
    power = np.int64((np.float64(shifted).view(np.int64) << SHIFT_64) + BIAS_64).view(np.float64)
    y = (q * (r * r) + r + 1.0) * power
    return 0.0 if x < LEAST_64 else y


@njit(**FLAGS)
def _atanh_tail64(u: Any) -> Any:
    p = ((((D9 * u + D8) * u + D7) * u + D6) * u + D5) * u + D4
    return (((p * u + D3) * u + D2) * u + D1) * u + D0


def _log1p64(z: Any) -> Any:
    s = z / (2.0 + z)
    u = s * s
    return z - s * (z - (u + u) * _atanh_tail64(u))


@njit(**FLAGS)
def _log64(x: Any) -> Any:
    """log x = n ln 2 + log m with m in [sqrt 1/2, sqrt 2)."""
    bits = np.float64(x).view(np.int64) - SQRT_HALF_BITS
    n = np.float64(bits >> SHIFT_64)
    f = np.int64((bits & MANTISSA_64) + SQRT_HALF_BITS).view(np.float64) - 1.0
    s = f / (2.0 + f)
    u = s * s
    y = n * LN2_HIGH_64 + (n * LN2_LOW_64 + (f - s * (f - (u + u) * _atanh_tail64(u))))
    return y if x <= LARGEST_64 else x


def _log32(x: Any) -> Any:
    return SINGLE(_log64(np.float64(x)))


@overload(exp, target="cpu", jit_options=FLAGS)
def _exp_cpu(x: Any) -> Callable[..., Any]:
    return _exp32 if x == SINGLE_TYPE else _exp64


@overload(log1p, target="cpu", jit_options=FLAGS)
def _log1p_cpu(z: Any) -> Callable[..., Any]:
    return _log1p32 if z == SINGLE_TYPE else _log1p64


@overload(log, target="cpu", jit_options=FLAGS)
def _log_cpu(x: Any) -> Callable[..., Any]:
    return _log32 if x == SINGLE_TYPE else _log64.py_func


def _libdevice_exp(x: Any) -> Any:
    return math.exp(x)


def _libdevice_log1p(z: Any) -> Any:
    return math.log1p(z)


def _libdevice_log(x: Any) -> Any:
    return math.log(x)


def _hardware_sqrt(x: Any) -> Any:
    return math.sqrt(x)


@overload(sqrt, jit_options=FLAGS)
def _sqrt(x: Any) -> Callable[..., Any]:
    return _hardware_sqrt


@overload(exp, target="cuda")
def _exp_cuda(x: Any) -> Callable[..., Any]:
    return _libdevice_exp


@overload(log1p, target="cuda")
def _log1p_cuda(z: Any) -> Callable[..., Any]:
    return _libdevice_log1p


@overload(log, target="cuda")
def _log_cuda(x: Any) -> Callable[..., Any]:
    return _libdevice_log


@njit(**FLAGS)
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow: both tails from e^-|x|; NaN stays NaN."""
    one = like(x, 1)
    z = exp(-abs(x))
    return (one if x >= like(x, 0) else z) / (one + z)


@njit(**FLAGS)
def log_of_one_and(z: Any) -> Any:
    """The natural logarithm of 1 + z, for any z >= 0; NaN for infinity. What 1 + z lost counts to first order."""
    one = like(z, 1)
    whole = one + z
    exact = log(whole) * (z / (whole - one))
    return exact if whole > one else z


@njit(**INLINED)
def cross_entropy(x: Any, t: Any, tail: Any) -> Any:
    """The cross entropy of the sigmoid of x and a target t, `tail` being e^-|x|; x - x is 0, but NaN for an infinite x,
    where Caffe's x - 2 x [x >= 0] is NaN."""
    step = like(x, 1) if x >= like(x, 0) else like(x, 0)
    return log1p(tail) - x * (t - step) + (x - x)


def truncated(label: Any) -> int:
    """A label as Caffe reads it, ``static_cast<int>``: toward zero, `INT_MIN` for NaN and what int cannot hold."""
    return int(label) if INT_MIN - 1 < label < -INT_MIN else INT_MIN


def _truncated_integer(label: Any) -> int:
    return label if label >= INT_MIN and label < -INT_MIN else INT_MIN


def _truncated_float(label: Any) -> int:
    """In the type of the label: what float32 makes of the lower limit is `INT_MIN` either way."""
    return int(label) if label > like(label, INT_MIN - 1) and label < like(label, -INT_MIN) else INT_MIN


@overload(truncated, jit_options=FLAGS)
def _truncated(label: Any) -> Callable[..., int]:
    return _truncated_integer if isinstance(label, types.Integer) else _truncated_float
