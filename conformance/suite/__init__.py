"""The suite: one module per family of checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module

from conformance.contract.check import Check
from conformance.contract.errors import UsageError, unknown
from conformance.contract.selection import Planned, Selection
from conformance.losses import KNOWN, PROFILES, profile_of
from conformance.suite import exploration

__all__ = ["FAMILIES", "all_checks", "plan", "profiles_asked", "whole_suite"]

FAMILIES = (
    "golden",
    "gradients",
    "loss_weight",
    "multi_top",
    "contract",
    "passes",
    "training",
    "siblings",
    "labels",
    "options",
    "determinism",
    "extremes",
    "sizes",
    "rows",
    "space",
    "refusals",
    "quirks",
    "forms",
    "properties",
)
"""The modules, in the order in which they run."""

_DRAWN = ("properties", exploration.FAMILY)
"""Families that draw their cases from a seed; explored are only those that are asked for."""


def all_checks(
    snippets: Sequence[str] = (),
    seed: int = 0,
    explore: int = 1,
    profiles: Sequence[str] = ("bvlc",),
    families: Sequence[str] = FAMILIES,
    golden: Collection[str] = (),
) -> Iterator[Check]:
    """Every check of the suite, or of some ``families``, family by family, in an order that does not change.

    ``profiles`` are the sets of losses that they are about; those of nets come with BVLC Caffe's. ``snippets`` are
    layers of types that the suite has no formula for; they get the checks that need none. Of golden
    cases only those in ``golden`` are read, where that holds any. Generated cases are the same
    every time with ``seed`` 0, drawn from it otherwise, and ``explore`` times as many.
    Raises `UsageError` for one that makes no sense.
    """
    for profile in profiles:
        for family in (*FAMILIES, exploration.FAMILY):
            if family not in families:
                continue
            drawn = (seed, explore) if family in _DRAWN else (golden,) if family == "golden" else ()
            for check in import_module(f"{__name__}.{family}").checks(PROFILES[profile], *drawn):
                loss = KNOWN.get(check.layer)
                yield replace(check, forms=loss.forms) if loss and loss.forms else check
    yield from import_module(f"{__name__}.formula_free").checks(snippets)


@cache
def whole_suite(profile: str = "bvlc") -> tuple[Check, ...]:
    """`all_checks` of a gate, made once for a process."""
    return tuple(all_checks(profiles=(profile,)))


def plan(
    selection: Selection,
    dtypes: Sequence[str],
    differences: Sequence[str] = (),
    snippets: Sequence[str] = (),
    seed: int = 0,
    explore: int = 1,
    profiles: Sequence[str] = ("bvlc",),
    golden: Collection[str] = (),
    families: Collection[str] = (),
) -> list[Planned]:
    """The items of a selection, of which only the families that it can hold are made, or some ``families`` of all; the
    arguments are those of `Selection.plan` and `all_checks`. Raises `UsageError` for a name that does not occur in the
    suite."""
    types = {stem: loss.type for stem, loss in KNOWN.items() if not loss.forms}
    asked = partial(all_checks, snippets, seed, explore, profiles)
    named = set(selection.families or families) or {_family_of(check) for check in selection.checks}
    try:
        return selection.plan(asked(tuple(named) or FAMILIES, golden or selection.checks), dtypes, differences, types)
    except UsageError:  # what is refused is refused with all the names that there are
        return selection.plan(asked((*FAMILIES, *named)), dtypes, differences, types)


def _family_of(check: str) -> str:
    """The family of a check's name; golden cases have ids of their own."""
    first = check.partition("/")[0]
    return first if first in (*FAMILIES, exploration.FAMILY) else "golden"


def profiles_asked(selection: Selection, described: Sequence[str] = ()) -> tuple[str, ...]:
    """The profiles that a selection names, else BVLC Caffe's, those of the layers and checks that it names, and where
    it names nothing those that an implementation is ``described`` with. Raises `UsageError` for one that is none."""
    for name in (*selection.profiles, *described):
        if name not in PROFILES:
            raise unknown("profile", name, PROFILES)
    if selection.profiles:
        return selection.profiles
    named = (*selection.layers, *(part for check in selection.checks for part in check.split("/")))
    further = () if selection.names_checks else described
    return tuple(dict.fromkeys(("bvlc", *map(profile_of, named), *further)))
