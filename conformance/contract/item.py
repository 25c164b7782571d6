"""Item: a check in one type, named CHECK[TYPE] by reports, locks, command lines and everything that prints one."""

from __future__ import annotations

from conformance.contract.dtypes import NAMES

__all__ = ["TYPE", "dtype_of", "item_name"]

TYPE = "|".join(NAMES)
"""A regular expression for a type's name."""


def item_name(check: str, dtype: str) -> str:
    return f"{check}[{dtype}]"


def dtype_of(item: str) -> str:
    """The type of an item that `item_name` has named."""
    return item.rpartition("[")[2].removesuffix("]")
