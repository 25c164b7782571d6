"""Difference: an array that the judge rejected, beside what was wanted; what it would be if this or that were wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.contract.aspect import Aspect
from conformance.contract.dtypes import TypeClaim
from conformance.judge.bounded import nearest
from conformance.judge.replay import Comparison
from conformance.record.deviation import Deviation
from conformance.record.grade import Grade
from refimpl.backward_plan import Node

__all__ = ["Difference", "Values", "blob_of"]

Values = NDArray[np.float64]

_SLACK = 8.0
"""How many times its bound an explained number may be off: it was computed another way, with other roundings."""

_NEARER = 4.0
"""How many times nearer to what was got an explanation has to come than what was wanted is."""

_FEW = 2
"""Different numbers that many an explanation gets right."""


def blob_of(compared: Comparison | Difference) -> str:
    """The blob of an array, whichever pass it is the state after."""
    return compared.blob.partition(" after ")[0]


@dataclass(frozen=True)
class Difference:
    """``got``, ``want`` and ``bound`` are float64 arrays of one shape; ``rejected`` marks what is out of bounds.

    ``node`` is the layer that answers for it, None for the net.
    """

    aspect: Aspect
    blob: str
    node: Node | None
    got: Values
    want: Values
    bound: Values
    rejected: NDArray[np.bool_]
    dtype: str

    @classmethod
    def of(cls, versions: Sequence[Comparison], dtype: str) -> Difference | None:
        """The difference to the nearest of several right answers; None where what was got is of another size."""
        first = versions[0]
        if first.got.size != first.want.size:
            return None
        want, bound, rejected = nearest(first.got, [version.want for version in versions], dtype)
        got = np.asarray(first.got, dtype=np.float64).reshape(want.shape)
        return cls(first.aspect, first.blob, first.node, got, want, bound, rejected, dtype)

    def deviation(self, accepted: bool = False) -> Deviation:
        """As a report keeps it; an array that the judge has ``accepted`` has no wrong element."""
        wrong = np.flatnonzero(self.rejected) if not accepted else np.zeros(0, np.int64)
        layer = None if self.node is None else self.node.name
        got, want, bound = (np.ravel(each) for each in (self.got, self.want, self.bound))
        shape, kind = self.want.shape, self.layer_type
        return Deviation(self.aspect, self.blob, layer, kind, shape, got, want, bound, wrong, len(wrong))

    @property
    def layer_type(self) -> str:
        return "net" if self.node is None else self.node.type

    @property
    def finite(self) -> bool:
        """Whether all that is got and wanted is finite."""
        return bool(np.isfinite(self.got).all() and np.isfinite(self.want).all())

    def is_explained_by(self, values: Values | float) -> bool:
        """Whether what was got is ``values``, within the roundings of some other evaluation, and is so by no chance: it
        is much farther from what was wanted."""
        told = np.broadcast_to(np.asarray(values, dtype=np.float64), self.got.shape)
        return bool(self.explained(told).all()) and _NEARER * self._off(told) <= self._off(self.want)

    @property
    def is_noise(self) -> bool:
        """Whether what was got is what was wanted, as near as anything could explain it."""
        return bool(self.explained(self.want).all())

    @property
    def grade(self) -> Grade:
        """How well a factor explains it that gets every number right."""
        return Grade.EXACT if self._telling() > _FEW else Grade.PARTLY

    def _off(self, values: Values) -> float:
        """How far what is wrong is from ``values``, all in all."""
        with np.errstate(all="ignore"):
            return float(np.nansum(np.absolute(self.got - values)[self.rejected]))

    def explained(self, values: Values | float) -> NDArray[np.bool_]:
        """Where what was got is ``values``."""
        told = np.broadcast_to(np.asarray(values, dtype=np.float64), self.got.shape)
        with np.errstate(all="ignore"):
            larger = np.maximum(1.0, np.nan_to_num(np.absolute(told / self.want), nan=1.0, posinf=1.0))
            room = _SLACK * (
                self.bound * larger
                + max(each.unit_roundoff for each in TypeClaim.named(self.dtype).types) * np.absolute(told)
            )
            near = np.absolute(self.got - told) <= room
        same = (self.got == told) | (np.isnan(self.got) & np.isnan(told))
        explained: NDArray[np.bool_] = same | near
        return explained

    def ratio(self) -> float | None:
        """The one factor between what was wanted and what was got, if there is one."""
        with np.errstate(all="ignore"):
            known = (np.absolute(self.want) > 64 * self.bound) & np.isfinite(self.got) & np.isfinite(self.want)
        if not known.any():
            return None
        weight = np.absolute(self.want[known])
        factor = float(np.sum(np.sign(self.want[known]) * self.got[known]) / np.sum(weight))
        return factor if factor != 0 and np.isfinite(factor) and self.is_explained_by(factor * self.want) else None

    def _telling(self) -> int:
        """How many different numbers a common factor would have to get right."""
        with np.errstate(all="ignore"):
            known = np.absolute(self.want) > 64 * self.bound
        return int(np.unique(np.absolute(self.want[known])).size)
