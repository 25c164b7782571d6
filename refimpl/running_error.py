"""Running error analysis: an array that carries, entry by entry, how far a plain evaluation may be from it.

A formula written in numpy and given an `Approx` instead of an array returns its value together with a bound on the
error of evaluating the same formula, operation by operation, in an arithmetic with unit roundoff ``unit``. The bound
is the first-order one of Wilkinson's running error analysis (N. J. Higham, *Accuracy and Stability of Numerical
Algorithms*, 2nd ed., section 3.3): every operation passes on the errors of its operands through its derivative and adds
``factor * unit * |result|`` of its own; a sum of n terms adds ``n * unit * sum |terms|``, which holds for any order.
An elementary function adds what common libraries are off by (`refimpl.charges`), an ULP being two units roundoff.

The exponential of exactly 0 is exactly 1 in all of them, and adds nothing.

Where the types of a claim (`refimpl.dtypes.TypeClaim`) differ, sums are charged the unit of what they are added up in,
and an array that is kept in a type of its own (`Approx.stored`) adds, when written to, what rounding to that type may
cost. In a type of few digits second-order terms are no small matter: there a sum is charged ``n u / (1 - n u)`` and an
operation ``factor * unit * (|result| + error)``, so that the bound holds as it stands; and a constant that the type
does not hold is charged its rounding.

Two operations are charged as the plain program would compute them, although their value is computed better here:
``log1p(x)`` as ``log(1 + x)`` and ``expm1(x)`` as ``exp(x) - 1``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from refimpl.dtypes import Dtype, TypeClaim

__all__ = ["Approx", "Flags", "Rounding"]

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class Rounding:
    """The arithmetic whose errors are bounded.

    ``unit`` is the unit roundoff, ``tiny`` the smallest normal number (results below it may be flushed to zero),
    ``huge`` the largest finite one, ``factor`` the roundings charged per operation, ``charges`` the ULP charged to a
    function (one that is not named is an operation), ``underflow`` what a result below the smallest normal number may
    be off by. A sum of n terms is charged n roundings of ``added``, or ``walk`` times the root of n where that is less:
    what rounding errors of both signs add up to, and not what they might; of more than ``longest`` roundings nothing
    is known.

    ``narrow`` where second-order terms and the rounding of constants count; ``claim`` are the types that arrays are
    kept in, where rounding to them is anything beyond the roundings of the operations.

    A step or a sign whose argument may lie on either side of its kink is the interval between its one-sided limits;
    with ``subgradient`` set, it is that at the kink itself too. With ``sharp`` set, it is Caffe's choice there and
    nothing else.
    """

    unit: float
    tiny: float
    huge: float
    factor: float = 1.0
    subgradient: bool = False
    sharp: bool = False
    charges: Mapping[np.ufunc, float] = field(default_factory=dict)
    walk: float = np.inf
    underflow: float | None = None
    added: float | None = None
    longest: float = np.inf
    narrow: Dtype | None = None
    claim: TypeClaim | None = None

    def of_sum(self, terms: int, size: Array) -> Array:
        """The error of adding up so many terms whose magnitudes add up to ``size``."""
        roundings = min(float(terms), self.walk * math.sqrt(terms)) if terms > 1 else 0.0
        share = roundings * (self.unit if self.added is None else self.added)
        if self.narrow is not None:
            share = share / (1 - share) if share < 1 else math.inf
        if roundings > self.longest or share == math.inf:
            return np.where(size > 0, np.inf, 0.0)
        return share * size

    def of(self, value: Array, function: np.ufunc | None = None, passed: Array | float = 0.0) -> Array:
        """The error of rounding ``value`` once, or of the ``function`` that gave it; ``passed`` is the error that it
        has already."""
        roundings = self.factor if function is None else max(self.factor, 2 * self.charges.get(function, 0.0))
        size = np.absolute(value) if self.narrow is None else np.absolute(value) + passed
        rounded: Array = roundings * self.unit * size
        small = (size < 2 * self.tiny) & (size > 0)
        if not np.count_nonzero(small):
            return rounded
        least = self.tiny if self.underflow is None else self.underflow
        return np.maximum(np.where(small, least, 0.0), rounded)

    def of_constant(self, value: Any) -> Array:
        """The error that exact numbers are held with."""
        if self.narrow is None:
            return np.zeros(np.shape(value))
        wide = np.asarray(value, np.float64)
        if self.narrow.holds(wide).all():
            return np.zeros(wide.shape)
        size = np.where(np.isfinite(wide), np.absolute(wide), 0.0)
        return np.where(self.narrow.holds(wide), 0.0, self.narrow.unit_roundoff * size + self.narrow.underflow)


@dataclass
class Flags:
    """What the operations of one evaluation have met, as IEEE 754's status flags: a result beyond the largest finite
    number; a step or a sign that may lie on either side of its kink."""

    overflowed: bool = False
    blurred: bool = False


def _through(derivative: Array, error: Array) -> Array:
    """An error passed on through a derivative; an exact operand contributes nothing even where the derivative is
    infinite."""
    return np.where(error == 0, 0.0, np.absolute(derivative) * error)


def _multiply(a: Array, ea: Array, b: Array, eb: Array) -> Pair:
    return a * b, _through(b, ea) + _through(a, eb) + ea * eb


def _divide(a: Array, ea: Array, b: Array, eb: Array) -> Pair:
    quotient, smallest = a / b, np.absolute(b) - eb
    passed = (ea + np.absolute(quotient) * eb) / smallest
    return quotient, np.where((ea == 0) & (eb == 0), 0.0, np.where(smallest > 0, passed, np.inf))


def _log(x: Array, e: Array) -> Pair:
    return np.log(x), np.where(e == 0, 0.0, np.where(e < x, -np.log1p(-np.minimum(e / x, 1.0)), np.inf))


def _sqrt(x: Array, e: Array) -> Pair:
    root = np.sqrt(x)
    return root, np.where(e == 0, 0.0, np.minimum(np.sqrt(e), e / np.where(root > 0, root, 1e-300)))


def _power(x: Array, e: Array, exponent: Array, _: Array) -> Pair:
    return np.power(x, exponent), _through(exponent * np.power(x, exponent - 1), e)


def _tanh(x: Array, e: Array) -> Pair:
    """The derivative changes by a factor of at most exp(2 e) over the interval."""
    value = np.tanh(x)
    return value, np.minimum(_through(1 - value * value, np.expm1(2 * e) / 2), 2.0)


_Rule = Callable[..., Pair]
# ufunc -> (value, error passed on) of its operands; the error of rounding the result is added for all of them alike.
_ROUNDED: dict[np.ufunc, _Rule] = {
    np.add: lambda a, ea, b, eb: (a + b, ea + eb),
    np.subtract: lambda a, ea, b, eb: (a - b, ea + eb),
    np.multiply: _multiply,
    np.divide: _divide,
    np.exp: lambda x, e: (np.exp(x), np.where(e == 0, 0.0, np.exp(x) * np.expm1(e))),
    np.log: _log,
    np.sqrt: _sqrt,
    np.power: _power,
    np.tanh: _tanh,
}


def _select(rule: Callable[[Array, Array], Array]) -> _Rule:
    """A choice between two operands (maximum, minimum): exact, and as uncertain as the interval it maps to."""

    def chosen(a: Array, ea: Array, b: Array, eb: Array) -> Pair:
        value = rule(a, b)
        return value, np.maximum(rule(a + ea, b + eb) - value, value - rule(a - ea, b - eb))

    return chosen


_EXACT: dict[np.ufunc, _Rule] = {
    np.negative: lambda x, e: (-x, e.copy()),
    np.positive: lambda x, e: (x, e.copy()),
    np.maximum: _select(np.maximum),
    np.minimum: _select(np.minimum),
}
_PREDICATES = {
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.equal,
    np.not_equal,
    np.isnan,
    np.isfinite,
    np.isinf,
    np.signbit,
}
_STRUCTURAL = {
    np.reshape, np.ravel, np.moveaxis, np.transpose, np.swapaxes, np.broadcast_to, np.take_along_axis, np.take,
    np.squeeze, np.expand_dims, np.repeat, np.flip, np.copy, np.where, np.concatenate, np.stack, np.zeros_like,
    np.split, np.atleast_1d,
}  # fmt: skip


class Approx(NDArrayOperatorsMixin):
    """A float64 array ``value`` and, of the same shape, the bound ``error`` on what a plain evaluation may differ
    by. Results of operations raise the ``flags`` of their first operand, and carry them on. An array, and its views,
    may be ``stored`` in a type that what is written to it is rounded to."""

    __array_priority__ = 100

    def __init__(
        self, value: Any, error: Any, rounding: Rounding, flags: Flags | None = None, stored: Dtype | None = None
    ) -> None:
        self.value: Array = np.asarray(value, dtype=np.float64)
        self.error: Array = np.asarray(error, dtype=np.float64)
        self.rounding = rounding
        self.flags = Flags() if flags is None else flags
        self.stored = stored

    @classmethod
    def zeros(
        cls,
        shape: int | tuple[int, ...],
        rounding: Rounding,
        flags: Flags | None = None,
        stored: Dtype | None = None,
    ) -> Approx:
        return cls(np.zeros(shape), np.zeros(shape), rounding, flags, stored)

    def replaced(self, value: Any, error: Any) -> Approx:
        """Another array of the same evaluation."""
        return Approx(value, error, self.rounding, self.flags)

    def kept(self, stored: Dtype) -> Approx:
        """The array rounded to a type: every entry that is not held exactly is off by half of the type's last digit,
        unless the operation that gave it was rounded to that type already; what is beyond the type's range has
        overflowed."""
        value, error, claim = self.value, self.error, self.rounding.claim
        assert claim is not None  # nothing is stored in a type of its own where none is claimed
        holds = (
            stored.significand >= claim.computed.significand and stored.exponent_bits >= claim.computed.exponent_bits
        )
        exact = (error == 0) & (stored.holds(value) | ~np.isfinite(value))
        size = np.absolute(value) + np.where(np.isfinite(error), error, 0.0)
        added = np.where(exact, 0.0, stored.unit_roundoff * size + stored.underflow)
        error = np.where((error > 0) & holds, error, error + added)
        beyond = np.isfinite(value) & ~np.isfinite(stored.rounded(value))
        if beyond.any() and np.isfinite(self.rounding.huge):
            self.flags.overflowed = True
            value, error = np.where(beyond, np.copysign(np.inf, value), value), np.where(beyond, 0.0, error)
        return type(self)(value, error, self.rounding, self.flags, stored)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return self.value.dtype

    @property
    def real(self) -> Array:
        return self.value

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Approx({self.value!r}, ± {self.error!r})"

    def __getitem__(self, key: Any) -> Approx:
        return type(self)(self.value[key], self.error[key], self.rounding, self.flags, self.stored)

    def __setitem__(self, key: Any, new: Any) -> None:
        if self.stored is not None:
            new = self.replaced(_value(new), _error(new)).kept(self.stored)
        self.value[key] = _value(new)
        self.error[key] = _error(new)

    def reshape(self, *shape: Any) -> Approx:
        return type(self)(
            self.value.reshape(*shape), self.error.reshape(*shape), self.rounding, self.flags, self.stored
        )

    def copy(self) -> Approx:
        return type(self)(self.value.copy(), self.error.copy(), self.rounding, self.flags, self.stored)

    def max(self, axis: int | None = None, keepdims: bool = False) -> Approx:
        """The largest entry along ``axis``: exact, and as uncertain as the largest the entries may be."""
        value = self.value.max(axis=axis, keepdims=keepdims)
        spread = (self.value + self.error).max(axis=axis, keepdims=keepdims) - value
        with np.errstate(invalid="ignore"):
            other = value - (self.value - self.error).max(axis=axis, keepdims=keepdims)
            return self._settled(value, np.maximum(spread, other))

    def through(self, function: Callable[[Array], Array], charged: np.ufunc) -> Approx:
        """A non-decreasing function, ``charged`` as that one: as uncertain as the interval it maps to."""
        with np.errstate(all="ignore"):
            value = function(self.value)
            spread = np.maximum(function(self.value + self.error) - value, value - function(self.value - self.error))
        value = self._fit(value)
        return self._settled(value, spread + self.rounding.of(value, charged, spread))

    def total(self, value: Array, axes: tuple[int, ...]) -> Approx:
        """The sum along ``axes`` whose value the caller has computed, with the error of adding up in any order."""
        terms = math.prod(self.shape[axis] for axis in axes)
        with np.errstate(all="ignore"):
            size, passed, value = np.absolute(self.value).sum(axis=axes), self.error.sum(axis=axes), self._fit(value)
            if self.rounding.narrow is not None:
                size = size + passed
            error = passed + self.rounding.of_sum(terms, size)
            if self.rounding.added is not None and terms > 1:  # added up in another type, and rounded once from it
                error = error + self.rounding.of(value, passed=error)
            return self._settled(value, error)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in _PREDICATES:
            return ufunc(*(_value(x) for x in inputs))
        with np.errstate(all="ignore"):
            if ufunc is np.log1p:
                return self.replaced(np.log1p(self.value), np.log(1.0 + inputs[0]).error)
            if ufunc is np.expm1:
                return self.replaced(np.expm1(self.value), (np.exp(inputs[0]) - 1.0).error)
            if ufunc is np.square:
                return inputs[0] * inputs[0]
            operands = [part for x in inputs for part in (self._held(x), self._error_of(x))]
            if ufunc in _EXACT:
                return self._settled(*_EXACT[ufunc](*operands))
            if ufunc in _ROUNDED:
                value, error = _ROUNDED[ufunc](*operands)
                value = self._fit(value)
                rounded = self.rounding.of(value, ufunc, error)
                if ufunc is np.exp:
                    rounded = np.where((operands[0] == 0) & (operands[1] == 0), 0.0, rounded)
                return self._settled(value, error + rounded)
        return NotImplemented

    def __array_function__(self, func: Any, types: Sequence[type], args: Any, kwargs: Any) -> Any:
        if func in (np.shape, np.ndim, np.size):
            return func(*_map(_value, args), **kwargs)
        if func not in _STRUCTURAL:
            return NotImplemented
        values = func(*_map(_value, args), **_map(_value, kwargs))
        errors = func(*_error_arguments(func, args), **kwargs)
        if isinstance(values, (list, tuple)):
            return [self.replaced(v, e) for v, e in zip(values, errors, strict=True)]
        return self.replaced(values, errors)

    def _held(self, x: Any) -> Any:
        """The value of an operand; a plain number that the arithmetic has no room for has overflowed."""
        if isinstance(x, Approx) or self.rounding.narrow is None:
            return _value(x)
        return self._fit(np.asarray(x, np.float64))

    def _error_of(self, x: Any) -> Any:
        """The error of an operand: a plain number's, too, where the arithmetic does not hold it."""
        return x.error if isinstance(x, Approx) else self.rounding.of_constant(x)

    def _fit(self, value: Array) -> Array:
        """``value`` with everything beyond the largest finite number replaced by an infinity of its sign."""
        beyond = np.absolute(value) > self.rounding.huge
        if not np.count_nonzero(beyond):
            return value
        beyond &= np.isfinite(value)
        if not np.count_nonzero(beyond):
            return value
        self.flags.overflowed = True
        return np.where(beyond, np.copysign(np.inf, value), value)

    def _settled(self, value: Any, error: Any) -> Approx:
        """A result: an infinity or a NaN is what it is, and an error that is not a number bounds nothing."""
        if np.count_nonzero(unknown := np.isnan(error)):
            error = np.where(unknown, np.inf, error)
        finite = np.isfinite(value)
        if np.count_nonzero(finite) < finite.size or np.shape(error) != np.shape(value):
            error = np.where(finite, error, 0.0)
        return self.replaced(value, error)


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Approx) else x


def _error(x: Any) -> Any:
    return x.error if isinstance(x, Approx) else np.zeros(np.shape(x))


def _map(part: Callable[[Any], Any], args: Any) -> Any:
    if isinstance(args, dict):
        return {name: part(x) for name, x in args.items()}
    return tuple([part(y) for y in x] if isinstance(x, list | tuple) else part(x) for x in args)


def _error_arguments(func: Any, args: Any) -> Any:
    """The same call on the errors: array operands become their errors, indices, shapes and axes stay."""
    if func is np.where:
        return (args[0], _error(args[1]), _error(args[2]))
    if func in (np.concatenate, np.stack):
        return ([_error(x) for x in args[0]], *args[1:])
    return (_error(args[0]), *args[1:])
