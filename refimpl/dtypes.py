"""Types: one row per floating-point type that a net may store or compute in. No other module spells a type's name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["DEFAULT", "DOUBLE", "FLOAT", "NAMES", "ONE_OF", "TYPES", "Dtype", "TypeClaim"]


@dataclass(frozen=True)
class Dtype:
    """A binary type as IEEE 754 builds them: everything follows from the widths of its two fields.

    ``significand`` counts binary digits, the implicit one included; ``numpy`` is the array type that holds it.
    """

    name: str
    numpy: np.dtype[Any]
    significand: int
    exponent_bits: int

    @cached_property
    def unit_roundoff(self) -> float:
        """The largest relative error of rounding to nearest, within the normal range."""
        return math.ldexp(1.0, -self.significand)

    @cached_property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, 2 - (1 << self.exponent_bits - 1))

    @cached_property
    def smallest_subnormal(self) -> float:
        return math.ldexp(self.smallest_normal, 1 - self.significand)

    @cached_property
    def largest(self) -> float:
        """The largest finite number."""
        return math.ldexp(1.0 - self.unit_roundoff, 1 << self.exponent_bits - 1)

    @cached_property
    def integers(self) -> int:
        """Every integer of at most this magnitude is held exactly; the next one is not."""
        return 1 << self.significand

    @cached_property
    def decimals(self) -> int:
        """Significant decimal digits that tell any two numbers apart."""
        return math.ceil(1 + self.significand * math.log10(2))

    @property
    def differenceable(self) -> bool:
        """Whether differences of a loss can decide on a gradient: they cost half of the digits, and a gradient is known
        where at least twenty are left."""
        return self.significand >= 40

    def rounded(self, values: ArrayLike) -> NDArray[np.float64]:
        """``values`` rounded to this type, as float64 of the same shape; infinite beyond its range."""
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self.numpy).astype(np.float64)

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Which of the ``values`` are numbers of this type."""
        return np.asarray(self.rounded(values) == values)


FLOAT = Dtype("float32", np.dtype(np.float32), significand=24, exponent_bits=8)
"""C's float: the type of a prototxt's numbers and of Caffe's constants, in nets of any type; pycaffe's nets have it."""

DOUBLE = Dtype("float64", np.dtype(np.float64), significand=53, exponent_bits=11)
"""C's double: the reference works in it."""

TYPES: Mapping[str, Dtype] = {dtype.name: dtype for dtype in (FLOAT, DOUBLE)}

NAMES = tuple(TYPES)

DEFAULT = (FLOAT.name, DOUBLE.name)
"""What BVLC Caffe's nets may be of, and what a run is in that asks for nothing else."""

ONE_OF = " or ".join(filter(None, (", ".join(NAMES[:-1]), NAMES[-1])))
"""The names, for a sentence."""


@dataclass(frozen=True)
class TypeClaim:
    """What types an implementation claims: of its arrays by their role, and of what it computes and adds up in."""

    scores: Dtype
    labels: Dtype
    gradients: Dtype
    loss: Dtype
    computed: Dtype
    accumulated: Dtype

    @classmethod
    def uniform(cls, dtype: Dtype) -> TypeClaim:
        """One type for everything."""
        return cls(dtype, dtype, dtype, dtype, dtype, dtype)
