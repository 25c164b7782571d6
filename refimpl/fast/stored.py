# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Stored: how an element of an array becomes a number for a kernel to compute with, and a number an element again.

Arrays of a half type reach kernels as their bits, which Numba has integers for and no arithmetic: ``BITS`` says as
which. `number` makes a float32 of such an element, exactly; `stored` rounds a number to the nearest element, ties to
even, once: subnormals are kept, what is too large is infinite, NaN stays NaN. Elements of float32 and float64, and
labels that are integers, are numbers as they are, and kernels compiled for these are what they would be without either
function. So every kernel reads ``number(x[i])`` and writes ``stored(result, out.dtype)``, and nothing else knows of
types that cannot be computed in.

Conversions are integer arithmetic without branches, since LLVM vectorises that on any processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from refimpl import dtypes
from refimpl.fast.scalar import FLAGS, INLINED, SINGLE, SINGLE_TYPE

__all__ = ["BITS", "as_bits", "as_numbers", "narrow", "number", "numbers", "stored", "working"]

HALF, BRAIN = dtypes.HALF.numpy, dtypes.BRAIN.numpy

BITS: Mapping[np.dtype[Any], np.dtype[Any]] = {HALF: np.dtype(np.uint16), BRAIN: np.dtype(np.int16)}
"""What a half type's elements are to a kernel, which tells the two apart by the sign."""

_TYPES = {bits.type: half for half, bits in BITS.items()}


def as_bits(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous array of a half type as kernels take it, the same memory; any other as it is."""
    bits = BITS.get(array.dtype)
    return array if bits is None else array.view(bits)


def as_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """What kernels take as an array of numbers, for NumPy: a half type's bits as float32, a copy."""
    half = _TYPES.get(array.dtype.type)
    return array if half is None else array.view(half).astype(SINGLE)


def number(element: Any) -> Any:
    """The number that an element of an array stands for."""
    half = _TYPES.get(type(element))
    return element if half is None else SINGLE(element.view(half))


def stored(number: Any, dtype: Any) -> Any:
    """A number as an element of an array of this dtype."""
    half = _TYPES.get(dtype.type)
    if half is None:
        return dtype.type(number)
    return _odd(np.float64(number)).astype(half).view(dtype)


def _odd(number: Any) -> Any:
    """A float64 as float32: where it is between two, the one whose last bit is 1. No new tie comes about, so what is
    rounded to nearest from there is rounded as if once."""
    single = SINGLE(number)
    if np.isnan(single) or single == number:
        return single
    bits = single.view(np.int32)
    return np.int32((bits - (abs(np.float64(single)) > abs(number))) | 1).view(SINGLE)


def narrow(array: Any) -> bool:
    """Whether an array's elements are no numbers to a kernel."""
    return array.dtype.type in _TYPES


def working(array: Any, size: int) -> Any:
    """Scratch of so many entries, in the type that an array's numbers have."""
    return np.empty(size, SINGLE if narrow(array) else array.dtype)


def numbers(row: Any, room: Any) -> Any:
    """A row's numbers: itself where it has numbers, otherwise `room`, of the same size, with them."""
    return as_numbers(row)


SIGN_32, MAGNITUDE_32, INFINITE_32 = np.int32(-(2**31)), np.int32(2**31 - 1), np.int32(255 << 23)
SIGN_16, MAGNITUDE_16, TO_UPPER = np.int32(1 << 15), np.int32((1 << 15) - 1), np.int32(16)
ONE_32 = np.int32(1)

# float16 has 13 binary digits less than float32, and an exponent with a bias that is 112 less.
DIGITS, BIAS, LEAST_DIGITS, INFINITE_DIGITS = np.int32(13), np.int32(112 << 23), np.int32(1 << 23), np.int32(31 << 23)
LEAST_NORMAL, LEAST_NORMAL_BITS = SINGLE(2.0**-14), np.int32(113 << 23)
UNIT, UNIT_BITS = SINGLE(0.5), np.int32(126 << 23)  # its last digit in float32 is that of float16's subnormals
BELOW_HALF_TIE, INFINITE_16, NAN_16 = np.int32(0xFFF), np.int32(31 << 10), np.int32(0x7E00)

# bfloat16 is the upper half of float32.
BELOW_BRAIN_TIE, NAN_BRAIN = np.int32(0x7FFF), np.int32(0x7FC0)
BRAIN_UNIT, LEAST_NORMAL_64 = 1.5 * dtypes.BRAIN.smallest_subnormal * 2.0**52, dtypes.FLOAT.smallest_normal

CUT = np.int64((1 << 29) - 1)
"""The digits that float64 has and float32 has not."""

SIGN_64 = np.int64(-(2**63))


def _single_of_half(element: Any) -> Any:
    whole = np.int32(element)
    digits = np.int32(np.int32(whole & MAGNITUDE_16) << DIGITS)
    normal = np.int32(digits + BIAS)
    special = np.int32(normal + BIAS)
    subnormal = SINGLE(np.int32(digits + LEAST_NORMAL_BITS).view(SINGLE) - LEAST_NORMAL).view(np.int32)
    made = special if digits >= INFINITE_DIGITS else (normal if digits >= LEAST_DIGITS else subnormal)
    return np.int32(made | np.int32(np.int32(whole & SIGN_16) << TO_UPPER)).view(SINGLE)


def _single_of_brain(element: Any) -> Any:
    return np.int32(np.int32(element) << TO_UPPER).view(SINGLE)


@njit(**INLINED)
def _half_of_single(number: Any) -> Any:
    bits = SINGLE(number).view(np.int32)
    size = np.int32(bits & MAGNITUDE_32)
    even = np.int32(np.int32(size >> DIGITS) & ONE_32)
    normal = np.int32(np.int32(np.int32(size - BIAS) + BELOW_HALF_TIE + even) >> DIGITS)
    normal = normal if normal < INFINITE_16 else INFINITE_16
    subnormal = np.int32(SINGLE(np.int32(size).view(SINGLE) + UNIT).view(np.int32) - UNIT_BITS)
    made = subnormal if size < LEAST_NORMAL_BITS else normal
    made = NAN_16 if size > INFINITE_32 else made
    return np.uint16(made | np.int32(np.int32(bits >> TO_UPPER) & SIGN_16))


@njit(**INLINED)
def _brain_of_single(number: Any) -> Any:
    bits = SINGLE(number).view(np.int32)
    size = np.int32(bits & MAGNITUDE_32)
    even = np.int32(np.int32(size >> TO_UPPER) & ONE_32)
    made = np.int32(np.int32(size + BELOW_BRAIN_TIE + even) >> TO_UPPER)
    made = NAN_BRAIN if size > INFINITE_32 else made
    return np.int16(made | np.int32(np.int32(bits >> TO_UPPER) & SIGN_16))


@njit(**INLINED)
def _odd_single(number: Any) -> Any:
    """Exact for what is normal in float32: what is cut off of a float64 carries into the last bit that stays."""
    bits = np.float64(number).view(np.int64)
    carried = np.int64(np.int64(bits & CUT) + CUT)
    return SINGLE(np.int64(np.int64(bits | carried) & ~CUT).view(np.float64))


@njit(**INLINED)
def _odd_single_or_brain(number: Any) -> Any:
    """Below the normal range the nearest bfloat16, by a float64 whose last digit is that of its subnormals."""
    wide = np.float64(number)
    below = np.float64((abs(wide) + BRAIN_UNIT) - BRAIN_UNIT).view(np.int64)
    below = np.int64(below | np.int64(wide.view(np.int64) & SIGN_64))
    return SINGLE(below.view(np.float64)) if abs(wide) < LEAST_NORMAL_64 else _odd_single(wide)


def _as_it_is(element: Any) -> Any:
    return element


@overload(number, jit_options=FLAGS)
def _number(element: Any) -> Callable[..., Any]:
    return {types.uint16: _single_of_half, types.int16: _single_of_brain}.get(element, _as_it_is)


def _single_as_half(number: Any, dtype: Any) -> Any:
    return _half_of_single(number)


def _double_as_half(number: Any, dtype: Any) -> Any:
    return _half_of_single(_odd_single(number))


def _single_as_brain(number: Any, dtype: Any) -> Any:
    return _brain_of_single(number)


def _double_as_brain(number: Any, dtype: Any) -> Any:
    return _brain_of_single(_odd_single_or_brain(number))


def _as_single(number: Any, dtype: Any) -> Any:
    return SINGLE(number)


def _as_double(number: Any, dtype: Any) -> Any:
    return np.float64(number)


@overload(stored, jit_options=FLAGS)
def _stored(number: Any, dtype: Any) -> Callable[..., Any]:
    single = number == SINGLE_TYPE
    return {
        types.uint16: _single_as_half if single else _double_as_half,
        types.int16: _single_as_brain if single else _double_as_brain,
        SINGLE_TYPE: _as_single,
    }.get(dtype.dtype, _as_double)


def _are_bits(array: Any) -> bool:
    return array.dtype in (types.uint16, types.int16)


def _yes(array: Any) -> bool:
    return True


def _no(array: Any) -> bool:
    return False


@overload(narrow, jit_options=FLAGS)
def _narrow(array: Any) -> Callable[..., Any]:
    return _yes if _are_bits(array) else _no


def _of_singles(array: Any, size: int) -> Any:
    return np.empty(size, SINGLE)


def _of_same(array: Any, size: int) -> Any:
    return np.empty(size, array.dtype)


@overload(working, jit_options=FLAGS)
def _working(array: Any, size: int) -> Callable[..., Any]:
    return _of_singles if _are_bits(array) else _of_same


def _widened(row: Any, room: Any) -> Any:
    for j in range(row.size):
        room[j] = number(row[j])
    return room


def _the_row(row: Any, room: Any) -> Any:
    return row


@overload(numbers, jit_options=INLINED)
def _numbers(row: Any, room: Any) -> Callable[..., Any]:
    return _widened if _are_bits(row) else _the_row
