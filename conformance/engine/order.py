"""Order: what one run is asked to do, in a form that travels to the processes that do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from conformance.contract.selection import Selection

__all__ = ["Order"]


@dataclass(frozen=True)
class Order:
    """An implementation's spelling, what to run on it, and how.

    ``dialect`` is "documented", "bvlc" or None (either side of a quirk will do); ``timeout`` the seconds one case may
    take; ``keyword`` an expression of pytest's ``-k``; ``shares`` (index, count) pairs, applied one after the other;
    ``done`` the names of items to leave out; ``snippets`` layers to be checked without a formula, as prototxt;
    ``declines`` limits that are stated for the implementation beside its own (`conformance.contract.limits`);
    ``losses`` files that describe losses of somebody's own; ``fail_fast`` the failing cases after which the run ends,
    0 for none; ``seed`` and ``explore``: what generated cases are drawn from, and how many times as many as in a gate;
    ``in_process``: whether somebody's Python code shares the process of the judge; ``fresh`` what the values of fixed
    cases are drawn anew from, 0 where they are as they are published; ``max_time`` the seconds after which no case is
    begun, ``max_hangs`` the cases in a row that may hang before no other is begun, 0 for any of either, and ``hung``
    those that have when the order is given; ``only`` the names of the items that are to be run, None for all of the
    shares; ``folder`` the working directory in which it was given, where that is not the processes' own;
    ``case_files`` cases that are all it is about, as the texts of their files; ``quick`` whether it is about the few
    checks of a quick run alone.
    """

    spec: str
    dialect: str | None = None
    timeout: float = 60.0
    selection: Selection = field(default_factory=Selection)
    keyword: str = ""
    shares: tuple[tuple[int, int], ...] = ()
    done: frozenset[str] = frozenset()
    snippets: tuple[str, ...] = ()
    declines: tuple[str, ...] = ()
    fail_fast: int = 0
    losses: tuple[str, ...] = ()
    seed: int = 0
    explore: int = 1
    in_process: bool = False
    fresh: int = 0
    max_time: float = 0.0
    max_hangs: int = 0
    hung: int = 0
    only: frozenset[str] | None = None
    folder: str = ""
    case_files: tuple[str, ...] = ()
    quick: bool = False

    def part(self, index: int, count: int) -> Order:
        """The order for one of ``count`` processes."""
        return replace(self, shares=(*self.shares, (index, count)))

    def without(self, names: frozenset[str]) -> Order:
        """The order for a process that goes on where another one stopped."""
        return replace(self, done=self.done | names)

    def to_json(self) -> dict[str, Any]:
        only = None if self.only is None else sorted(self.only)
        return {**asdict(self), "done": sorted(self.done), "only": only}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Order:
        """The order that `to_json` wrote."""
        fields = dict(value)
        selection = Selection(**{name: tuple(names) for name, names in fields.pop("selection").items()})
        shares = tuple((index, count) for index, count in fields.pop("shares"))
        done, snippets = frozenset(fields.pop("done")), tuple(fields.pop("snippets"))
        declines = tuple(fields.pop("declines"))
        losses, case_files = tuple(fields.pop("losses")), tuple(fields.pop("case_files"))
        names = fields.pop("only")
        return cls(
            **fields,
            selection=selection,
            shares=shares,
            done=done,
            snippets=snippets,
            declines=declines,
            losses=losses,
            only=None if names is None else frozenset(names),
            case_files=case_files,
        )
