"""Situation: what a layer is in when something goes wrong in it, and what it has been through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import value_of
from refimpl.blob import Blob

__all__ = ["History", "Situation"]


@dataclass
class History:
    """What a layer remembers of its earlier passes: how many forwards there were, shapes, labels and gradients."""

    forwards: int = 0
    backwards: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    answers: list[NDArray[Any]] = field(default_factory=list)
    gradients: dict[int, NDArray[Any]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Situation:
    """A forward or backward of a layer."""

    layer: Any
    bottom: Sequence[Blob]
    top: Sequence[Blob]
    history: History
    propagate_down: Sequence[bool] = ()

    @property
    def items(self) -> int:
        return int(self.bottom[0].shape[0])

    @property
    def count(self) -> int:
        return int(self.bottom[0].count)

    @property
    def entries(self) -> int:
        """Of one item."""
        return self.count // max(self.items, 1)

    @property
    def classes(self) -> int:
        axis = getattr(self.layer, "axis", None)
        return int(self.bottom[0].shape[axis]) if isinstance(axis, int) else self.entries

    @property
    def first(self) -> NDArray[Any]:
        """The values of the first bottom."""
        return np.asarray(value_of(self.bottom[0].data))

    @property
    def answers(self) -> NDArray[Any]:
        """The values of the second bottom."""
        return np.asarray(value_of(self.bottom[1].data))

    @property
    def last(self) -> NDArray[Any]:
        """The values of the last bottom."""
        return np.asarray(value_of(self.bottom[-1].data))

    @property
    def weight(self) -> float:
        return float(np.ravel(value_of(self.top[0].diff))[0])

    def option(self, name: str) -> Any:
        """An option's value, its default where it is not set."""
        value = self.layer.param
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def has(self, name: str) -> bool:
        message, _, last = name.rpartition(".")
        return bool(getattr(self.layer.param, message).has(last))
