"""The suite: one module per family of checks."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.check import Check

__all__ = ["all_checks"]


def all_checks() -> Iterator[Check]:
    """Every check of the suite, family by family, in an order that does not change."""
    from conformance.suite import golden

    yield from golden.checks()
