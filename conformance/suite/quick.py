"""Quick: the few checks, one type each, that kill most mutants: for the editor, and no conformance run.

``quick.txt`` holds them by kind, the id with a star for the loss, chosen with ``lossconf mutants --choose-quick``
(`conformance.mutants.choosing`): a kind stays when cases are drawn anew, and is there for losses that nobody chose by.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from conformance.contract.errors import UsageError
from conformance.contract.selection import Planned
from conformance.fixtures import case_ids

__all__ = ["PATH", "golden_of", "is_quick", "kinds", "of_families", "quick_of"]

PATH = Path(__file__).with_suffix(".txt")


@cache
def kinds() -> tuple[str, ...]:
    """The kinds of checks, with stars."""
    lines = PATH.read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(re.escape(kind).replace(r"\*", "[^/]+") for kind in kinds()))


def is_quick(check: str) -> bool:
    """Whether a check of this id is one of them."""
    return _pattern().fullmatch(check) is not None


def of_families(families: Collection[str]) -> tuple[str, ...]:
    """Those families that the checks are of; golden cases have ids of their own."""
    first = {kind.partition("/")[0] for kind in kinds()}
    return tuple(family for family in families if family in first or family == "golden")


def golden_of() -> tuple[str, ...]:
    """The golden cases among them."""
    return tuple(filter(is_quick, case_ids()))


def quick_of(items: Sequence[Planned]) -> list[Planned]:
    """Of a plan, the quick checks' items, each check in the last of its types, whose bounds are the sharpest.

    Raises `UsageError` where none is left.
    """
    found = {item.check.id: item for item in items if is_quick(item.check.id)}
    if not found:
        raise UsageError("none of the quick checks is in what was selected: run without --quick")
    return list(found.values())
