"""Coverage: which classes of a loss's space, and which pairs and threes of them, the cases that were run had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.losses.space import Space
from conformance.suite.exploration import LETTERS

__all__ = ["Coverage", "Met"]

Counts = NDArray[np.int64]

_PLACES = {letter: place for place, letter in enumerate(LETTERS)}


@dataclass(frozen=True)
class Met:
    """Classes of some dimensions: how many cases had each combination, and which combinations may meet at all."""

    names: tuple[str, ...]
    counts: Counts
    allowed: NDArray[np.bool_]

    @property
    def possible(self) -> int:
        return int(self.allowed.sum())

    @property
    def visited(self) -> int:
        return int((self.allowed & (self.counts > 0)).sum())

    @property
    def least(self) -> int:
        """The cases of the combination that has the fewest."""
        return int(self.counts[self.allowed].min(initial=np.iinfo(np.int64).max)) if self.possible else 0

    def never(self, space: Space) -> Iterator[tuple[str, ...]]:
        """The combinations that may meet and did not, by their classes' names."""
        for places in np.argwhere(self.allowed & (self.counts == 0)):
            yield tuple(space.dimensions[name][place] for name, place in zip(self.names, places, strict=True))


class Coverage:
    """Counted from the rows of cases that were decided, as reports hold them.

    A class that masks others (a weight of 0, labels all ignored) meets them in rows that count for nothing else.
    """

    def __init__(self, space: Space, rows: Sequence[str]) -> None:
        """Raises `KeyError` or `ValueError` for a row that is none of the space."""
        self.space = space
        self.names = tuple(space.dimensions)
        whole = [[_PLACES[letter] for letter in row] for row in rows]
        self._rows = np.array(whole, np.int64).reshape(len(rows), len(self.names))
        self.cases, self.different = len(rows), len(set(rows))

    @cached_property
    def classes(self) -> dict[str, Counts]:
        """How many cases had each class of a dimension."""
        return {name: self._counted((name,), self._rows) for name in self.names}

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Met]:
        return {(one, other): self._met((one, other)) for one, other in combinations(self.names, 2)}

    @cached_property
    def threes(self) -> list[Met]:
        """A size, an option and a pass."""
        return [self._met(three) for three in self.space.threes if set(three) <= set(self.names)]

    @cached_property
    def _masked(self) -> NDArray[np.bool_]:
        found = np.zeros(len(self._rows), bool)
        for name in self.space.masks:
            found |= self._masks(name)[self._rows[:, self.names.index(name)]]
        return found

    def _masks(self, name: str) -> NDArray[np.bool_]:
        hidden = self.space.masks.get(name, ())
        return np.array([one in hidden for one in self.space.dimensions[name]])

    def _met(self, names: tuple[str, ...]) -> Met:
        classes = [self.space.dimensions[name] for name in names]
        may = [self.space.meets(dict(zip(names, chosen, strict=True))) for chosen in product(*classes)]
        allowed = np.array(may).reshape([len(each) for each in classes])
        hiding = np.zeros(allowed.shape, bool)
        for axis, name in enumerate(names):
            hiding |= np.expand_dims(self._masks(name), [other for other in range(len(names)) if other != axis])
        counts = self._counted(names, self._rows[~self._masked])
        if len(names) > 2:  # a row that masks meets no threes
            return Met(names, counts, allowed & ~hiding)
        return Met(names, counts + np.where(hiding, self._counted(names, self._rows[self._masked]), 0), allowed)

    def _counted(self, names: tuple[str, ...], rows: Counts) -> Counts:
        shape = tuple(len(self.space.dimensions[name]) for name in names)
        places: Any = tuple(rows[:, self.names.index(name)] for name in names)
        flat = np.ravel_multi_index(places, shape)
        return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
