"""Selection: which checks of the suite a run is about, and this process's share of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from conformance.contract.check import Check
from conformance.contract.dtypes import TypeClaim
from conformance.contract.errors import UsageError, unknown
from conformance.contract.item import item_name

__all__ = ["Planned", "Selection", "claimed", "share"]

T = TypeVar("T")


@dataclass(frozen=True)
class Planned:
    """One item of a run: a check in one claim of types."""

    check: Check
    dtype: str

    @property
    def name(self) -> str:
        return item_name(self.check.id, self.dtype)


@dataclass(frozen=True)
class Selection:
    """Names of suite families, layer stems, checks (or cases of theirs), claims of types and profiles.

    An empty tuple takes all there are; of claims of types, all that the implementation has; of profiles, which are sets
    of losses, BVLC Caffe's and those of the layers and checks that are named. A layer takes the checks of the net along
    that hold no other loss.
    """

    families: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()

    @property
    def names_checks(self) -> bool:
        """Whether families, layers or checks are named."""
        return bool(self.families or self.layers or self.checks)

    def plan(
        self,
        suite: Iterable[Check],
        dtypes: Sequence[str],
        differences: Sequence[str] = (),
        types: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Planned]:
        """The items chosen, in the suite's order.

        ``dtypes`` are those of the implementation, ``differences`` those it takes besides for checks by differences;
        ``types`` says of what type the layer of a loss is. Raises `UsageError` for a name that does not occur in the
        suite.
        """
        whole = list(suite)
        _refuse_unknown("family", self.families, {check.family for check in whole})
        _refuse_unknown("layer", self.layers, {check.layer for check in whole})
        wanted_checks = {_check_of(name, whole) for name in self.checks}
        wanted = tuple(dict.fromkeys(map(claimed, self.dtypes or dtypes)))
        about = set(_of_the_net_about(self.layers, types, whole))
        return [
            Planned(check, dtype)
            for check in sorted(whole, key=lambda check: check.undefined)
            if (not self.families or check.family in self.families)
            and (not self.layers or check.layer in self.layers or check.id in about)
            and (not self.checks or check.id in wanted_checks)
            for dtype in check.among(wanted, () if self.dtypes else differences)
        ]


def claimed(text: str) -> str:
    """The name of the claim of types that a text spells. Raises `UsageError` for what is none."""
    try:
        return TypeClaim.named(text).name
    except ValueError as error:
        raise UsageError(str(error)) from None


def share(items: Sequence[T], index: int, count: int, of: Callable[[T], Hashable]) -> list[T]:
    """Part ``index`` of ``count``, counted from 1; the parts are disjoint and their union is ``items``. What is ``of``
    one thing stays together."""
    if not 1 <= index <= count:
        raise UsageError(f"no shard {index}/{count}: use 1/{count} to {count}/{count}")
    mine = set(list(dict.fromkeys(map(of, items)))[index - 1 :: count])
    return [item for item in items if of(item) in mine]


def _of_the_net_about(layers: Iterable[str], types: Mapping[str, str], suite: Sequence[Check]) -> Iterator[str]:
    """The ids of the net's checks of which every loss is among ``layers``, and there is one."""
    losses, chosen = set(types.values()), {types[layer] for layer in layers if layer in types}
    for check in suite:
        held = losses & set(check.layer_types)
        if check.layer == "net" and held and held <= chosen:
            yield check.id


def _check_of(name: str, suite: Sequence[Check]) -> str:
    """The id of the check of that name, or of the one that holds the case of that name."""
    ids = {check.id for check in suite}
    parts = name.split("/")
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in ids:
            return "/".join(parts[:length])
    raise unknown("case", name, sorted(ids), "lossconf list checks")


def _refuse_unknown(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    existing = sorted(known)
    for name in names:
        if name not in existing:
            raise unknown(what, name, existing)
