"""The table of types, for the packages above; `refimpl.dtypes` has it."""

from refimpl.dtypes import DEFAULT, DOUBLE, FLOAT, NAMES, ONE_OF, TYPES, Dtype, TypeClaim

__all__ = ["DEFAULT", "DOUBLE", "FLOAT", "NAMES", "ONE_OF", "TYPES", "Dtype", "TypeClaim"]
