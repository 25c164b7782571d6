"""Types: one row per floating-point type that a net may store or compute in. No other module spells a type's name.

`TypeClaim`: which of them an implementation has where, as one value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CLAIM", "DEFAULT", "DOUBLE", "FLOAT", "HALF", "NAMES", "ONE_OF", "TYPES", "Dtype", "TypeClaim"]


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

    @cached_property
    def underflow(self) -> float:
        """How far a correctly rounded result below the normal range may be off: half of the smallest subnormal. A type
        with the range of C's float may flush to zero there, as much hardware does; one of less range may not."""
        return self.smallest_normal if self.exponent_bits >= FLOAT.exponent_bits else self.smallest_subnormal / 2

    def rounded(self, values: ArrayLike) -> NDArray[np.float64]:
        """``values`` rounded to this type, as float64 of the same shape; infinite beyond its range."""
        wide = np.asarray(values)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.numpy.kind != "f":  # ml_dtypes goes through C's float, and so rounds twice
                wide = wide.astype(np.float64)
                last = np.ldexp(
                    1.0, np.frexp(np.maximum(np.absolute(wide), self.smallest_normal))[1] - self.significand
                )
                wide = np.where(np.isfinite(wide), np.rint(wide / last) * last, wide)
            return wide.astype(self.numpy).astype(np.float64)

    def truncated(self, values: ArrayLike) -> NDArray[np.float64]:
        """``values`` rounded to this type toward zero, as float64 of the same shape; what is not finite as it is."""
        wide = np.asarray(values, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            last = np.ldexp(1.0, np.frexp(np.maximum(np.absolute(wide), self.smallest_normal))[1] - self.significand)
            whole = np.clip(np.trunc(wide / last) * last, -self.largest, self.largest)
        return np.where(np.isfinite(wide), whole, wide)

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Which of the ``values`` are numbers of this type."""
        return np.asarray(self.rounded(values) == values)


FLOAT = Dtype("float32", np.dtype(np.float32), significand=24, exponent_bits=8)
"""C's float: the type of a prototxt's numbers and of Caffe's constants, in nets of any type; pycaffe's nets have it."""

DOUBLE = Dtype("float64", np.dtype(np.float64), significand=53, exponent_bits=11)
"""C's double: the reference works in it."""

HALF = Dtype("float16", np.dtype(np.float16), significand=11, exponent_bits=5)
"""IEEE 754's binary16, which GPUs call half."""

BRAIN = Dtype("bfloat16", np.dtype(ml_dtypes.bfloat16), significand=8, exponent_bits=8)
"""The upper half of a float: its range, with a third of its digits."""

TYPES: Mapping[str, Dtype] = {dtype.name: dtype for dtype in (HALF, BRAIN, FLOAT, DOUBLE)}

NAMES = tuple(TYPES)

DEFAULT = (FLOAT.name, DOUBLE.name)
"""What BVLC Caffe's nets may be of, and what a run is in that asks for nothing else."""

ONE_OF = " or ".join(filter(None, (", ".join(NAMES[:-1]), NAMES[-1])))
"""The names, for a sentence."""

_NAME = "|".join(NAMES)
CLAIM = rf"(?:{_NAME})(?:, (?:gradients|loss) (?:{_NAME}))*(?: \((?:computed|accumulated) [a-z0-9, ]+\))?"
"""A regular expression for what looks like a claim of types."""

_WHOLE = re.compile(
    rf"(?P<scores>{_NAME})(?P<roles>(?:, *(?:gradients|loss) +(?:{_NAME}))*)"
    rf"(?: *\( *(?:computed +(?P<computed>{_NAME}))? *,? *(?:accumulated +(?P<accumulated>{_NAME}))? *\))?"
)


@dataclass(frozen=True)
class TypeClaim:
    """What types an implementation claims: of its arrays by their role, and of what it computes and adds up in.

    ``scores`` is the type of every blob's data (labels and targets lie in blobs, too) but the scalar that a loss puts
    out, which is of the type ``loss``; so is that scalar's diff. ``gradients`` is the type of the other diffs.
    Intermediate results are of the type ``computed``, sums are added up in ``accumulated``.
    """

    scores: Dtype
    gradients: Dtype
    loss: Dtype
    computed: Dtype
    accumulated: Dtype

    @classmethod
    def uniform(cls, dtype: Dtype) -> TypeClaim:
        """One type for everything."""
        return cls(dtype, dtype, dtype, dtype, dtype)

    @classmethod
    def named(cls, text: str) -> TypeClaim:
        """The claim that a text spells: "T", "T, loss U", "T, gradients U (computed V, accumulated W)".

        What is not said of gradients and loss is the first type, as is what is computed in; sums are of the type
        computed in. Raises `ValueError` for what is none.
        """
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.80} is no claim of types: it is a text")
        return _named(text)

    @cached_property
    def name(self) -> str:
        """The claim as reports print it, the same for every way to spell it."""
        roles = ((word, each) for word, each in (("gradients", self.gradients), ("loss", self.loss)))
        stored = ", ".join([self.scores.name, *(f"{word} {each.name}" for word, each in roles if each != self.scores)])
        if self.accumulated != self.computed:
            return f"{stored} (computed {self.computed.name}, accumulated {self.accumulated.name})"
        return stored if self.computed == self.scores else f"{stored} (computed {self.computed.name})"

    @property
    def stored(self) -> tuple[Dtype, ...]:
        """The types that arrays may be of, each once."""
        return tuple(dict.fromkeys((self.scores, self.gradients, self.loss)))

    @property
    def types(self) -> tuple[Dtype, ...]:
        """Every type that it speaks of, each once."""
        return tuple(dict.fromkeys((*self.stored, self.computed, self.accumulated)))

    @property
    def is_of_one_type(self) -> bool:
        return self == TypeClaim.uniform(self.scores)

    @property
    def differenceable(self) -> bool:
        """Whether every type of it is."""
        return all(each.differenceable for each in self.types)


@cache
def _named(text: str) -> TypeClaim:
    found = _WHOLE.fullmatch(" ".join(text.split()))
    if found is None or "()" in text.replace(" ", ""):
        raise ValueError(
            f"{text!r:.80} is no claim of types: it is {ONE_OF}, or one of them with what differs, as in "
            f"'{BRAIN.name}, loss {FLOAT.name} (computed {FLOAT.name})' or '{HALF.name} (computed {HALF.name}, "
            f"accumulated {FLOAT.name})'"
        )
    roles = [each.split() for each in found["roles"].split(",") if each.strip()]
    if len(roles) > len({role for role, _ in roles}):
        raise ValueError(f"{text!r:.80} says twice what type a role has")
    scores, of = TYPES[found["scores"]], {role: TYPES[name] for role, name in roles}
    computed = TYPES[found["computed"]] if found["computed"] else scores
    accumulated = TYPES[found["accumulated"]] if found["accumulated"] else computed
    return TypeClaim(scores, of.get("gradients", scores), of.get("loss", scores), computed, accumulated)
