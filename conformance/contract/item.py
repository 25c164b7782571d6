"""Item: a check in one claim of types, named CHECK[TYPE] by reports, locks, command lines and whatever prints one."""

from __future__ import annotations

from conformance.contract.dtypes import CLAIM

__all__ = ["TYPE", "check_of", "dtype_of", "item_name"]

TYPE = CLAIM
"""A regular expression for a claim of types."""


def item_name(check: str, dtype: str) -> str:
    return f"{check}[{dtype}]"


def check_of(item: str) -> str:
    """The check of an item that `item_name` has named."""
    return item.rpartition("[")[0]


def dtype_of(item: str) -> str:
    """The type of an item that `item_name` has named."""
    return item.rpartition("[")[2].removesuffix("]")
