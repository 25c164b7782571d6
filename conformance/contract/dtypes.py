"""The table of types, for the packages above; `refimpl.dtypes` has it."""

from refimpl.dtypes import CLAIM, DEFAULT, DOUBLE, FLOAT, HALF, NAMES, ONE_OF, TYPES, Dtype, TypeClaim

__all__ = ["CLAIM", "DEFAULT", "DOUBLE", "FLOAT", "HALF", "NAMES", "ONE_OF", "TYPES", "Dtype", "TypeClaim"]
