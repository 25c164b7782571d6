"""The suite: one module per family of checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module

from conformance.contract.check import Check

__all__ = ["FAMILIES", "all_checks", "whole_suite"]

FAMILIES = (
    "golden",
    "gradients",
    "loss_weight",
    "multi_top",
    "contract",
    "labels",
    "options",
    "determinism",
    "extremes",
    "sizes",
    "space",
    "refusals",
    "quirks",
    "properties",
)
"""The modules, in the order in which they run."""


def all_checks(snippets: Sequence[str] = (), seed: int = 0, explore: int = 1) -> Iterator[Check]:
    """Every check of the suite, family by family, in an order that does not change.

    ``snippets`` are layers of types that the suite has no formula for; they get the checks that need none. Generated
    cases are the same every time with ``seed`` 0, drawn from it otherwise, and ``explore`` times as many.
    Raises `UsageError` for one that makes no sense.
    """
    for family in FAMILIES:
        drawn = (seed, explore) if family == "properties" else ()
        yield from import_module(f"{__name__}.{family}").checks(*drawn)
    yield from import_module(f"{__name__}.formula_free").checks(snippets)


@cache
def whole_suite() -> tuple[Check, ...]:
    """`all_checks` of a gate, made once for a process."""
    return tuple(all_checks())
