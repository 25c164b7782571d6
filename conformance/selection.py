"""Selection: which checks of the suite a run is about, and this process's share of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from conformance.check import Check
from conformance.errors import UsageError, unknown

__all__ = ["Planned", "Selection", "share"]

T = TypeVar("T")

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Planned:
    """One item of a run: a check in one dtype."""

    check: Check
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.check.id}[{self.dtype}]"


@dataclass(frozen=True)
class Selection:
    """Names of suite families, layer stems, checks and dtypes; empty takes all (dtypes: the implementation's)."""

    families: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    def plan(self, suite: Iterable[Check], dtypes: Sequence[str]) -> list[Planned]:
        """The items chosen, in the suite's order; ``dtypes`` are those of the implementation.

        Raises `UsageError` for a name that does not occur in the suite.
        """
        whole = list(suite)
        _refuse_unknown("family", self.families, {check.family for check in whole})
        _refuse_unknown("layer", self.layers, {check.layer for check in whole})
        _refuse_unknown("case", self.checks, {check.id for check in whole}, "lossconf list checks")
        _refuse_unknown("dtype", self.dtypes, DTYPES)
        wanted = self.dtypes or tuple(dtypes)
        return [
            Planned(check, dtype)
            for check in whole
            if (not self.families or check.family in self.families)
            and (not self.layers or check.layer in self.layers)
            and (not self.checks or check.id in self.checks)
            for dtype in check.dtypes
            if dtype in wanted
        ]


def share(items: Sequence[T], index: int, count: int) -> list[T]:
    """Part ``index`` of ``count``, counted from 1; the parts are disjoint and their union is ``items``."""
    if not 1 <= index <= count:
        raise UsageError(f"no shard {index}/{count}: use 1/{count} to {count}/{count}")
    return list(items[index - 1 :: count])


def _refuse_unknown(what: str, names: Iterable[str], known: Iterable[str], listing: str = "") -> None:
    existing = sorted(known)
    for name in names:
        if name not in existing:
            raise unknown(what, name, existing, listing)
