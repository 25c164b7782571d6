"""Deviation: one reported array beside what was wanted of it, as a report keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.aspect import WORDS, Aspect
from conformance.contract.case import array_from_json, array_to_json

__all__ = ["KEPT", "Deviation"]

KEPT = 64
"""Rejected elements that a report keeps of an array that is too large to be kept whole."""

_PLACES: Mapping[Aspect, str] = {"forward": "data", "input": "data", "parameter": "param_diff"}

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Deviation:
    """Flat float64 ``got``, ``want`` and ``bound`` of an array of ``shape``; ``wrong`` are the flat indices of its
    rejected elements, ``rejected`` how many there are.

    An array that was too large to be kept whole has its first `KEPT` wrong elements alone: then ``got``, ``want`` and
    ``bound`` are what stands at ``wrong``. ``got`` is empty where there was no answer. ``layer`` and ``layer_type``
    name the layer that answers for the array, None and "net" where none does.
    """

    aspect: Aspect
    blob: str
    layer: str | None
    layer_type: str
    shape: tuple[int, ...]
    got: Values
    want: Values
    bound: Values
    wrong: NDArray[np.int64]
    rejected: int

    @property
    def title(self) -> str:
        """What it is, in words."""
        words = WORDS[self.aspect]
        return words if (self.aspect, self.blob) == ("total", "total") else f"{words} {self.blob}"

    @property
    def place(self) -> str:
        """Its place in an outcome: loss, data/BLOB, diff/BLOB or param_diff/LAYER[I]; of an earlier state, after which
        pass."""
        if self.aspect == "total":
            return f"loss{self.blob.removeprefix('total')}"
        if self.aspect == "slope":
            return f"{'param_diff' if self.blob.endswith(']') else 'diff'}/{self.blob}"
        return f"{_PLACES.get(self.aspect, 'diff')}/{self.blob}"

    @property
    def size(self) -> int:
        """How many elements the array has."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether every element is kept."""
        return self.want.size == self.size

    @property
    def answered(self) -> bool:
        """Whether there is something that was got."""
        return self.got.size == self.want.size

    def cut(self) -> Deviation:
        """The first wrong elements alone."""
        wrong = self.wrong[:KEPT]
        kept = {name: getattr(self, name)[wrong] for name in ("want", "bound")} if self.whole else {}
        return replace(self, wrong=wrong, got=self.got[wrong] if self.got.size else self.got, **kept)

    def in_bounds(self) -> Values:
        """The error in units of the bound: at most 1 where it passes; infinite where one is no number."""
        with np.errstate(all="ignore"):
            error = np.absolute(self.got - self.want)
            ratio = np.where(error == 0, 0.0, error / self.bound)
        same = (self.got == self.want) | (np.isnan(self.got) & np.isnan(self.want))
        ratio = np.where(np.isfinite(self.got) & np.isfinite(self.want), ratio, np.inf)
        return np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio))

    def elements(self) -> Iterator[tuple[tuple[int, ...], float, float, float, float]]:
        """Of each wrong element that is kept: its coordinates, what was got, what was wanted, the bound, and the error
        in units of it."""
        columns = [self.got, self.want, self.bound, self.in_bounds()]
        if self.whole:
            columns = [column[self.wrong] for column in columns]
        for flat, *numbers in zip(self.wrong.tolist(), *(column.tolist() for column in columns), strict=True):
            yield (tuple(int(i) for i in np.unravel_index(flat, self.shape)), *numbers)

    def to_json(self) -> dict[str, Any]:
        """Its form in a line of evidence; a bound has four digits, rounded up."""
        line: dict[str, Any] = {"aspect": self.aspect, "blob": self.blob, "layer": self.layer, "type": self.layer_type}
        line |= {"shape": list(self.shape), "rejected": self.rejected, "wrong": self.wrong.tolist()}
        bound = np.array([float(f"{x * 1.0005:.4g}") for x in self.bound.tolist()])
        for name, values in (("got", self.got), ("want", self.want), ("bound", bound)):
            line[name] = array_to_json(values)["data"]
        return line

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Deviation:
        """The deviation of what `to_json` gave. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
        aspect, blob, layer, kind = line["aspect"], line["blob"], line["layer"], line["type"]
        if aspect not in WORDS or not all(isinstance(text, str) for text in (blob, layer or "", kind)):
            raise ValueError("aspect, blob, layer and type are texts, aspect a known one")
        shape, wrong, rejected = tuple(line["shape"]), list(line["wrong"]), line["rejected"]
        if any(type(n) is not int or n < 0 for n in (*shape, *wrong, rejected)):
            raise ValueError("shape, wrong and rejected are whole numbers")
        got, want, bound = (
            np.asarray(array_from_json({"shape": [len(line[name])], "data": line[name]}), np.float64)
            for name in ("got", "want", "bound")
        )
        size = math.prod(shape)
        fits = len(want) == len(bound) in (size, len(wrong)) and len(got) in ({len(want)} if wrong else {0, len(want)})
        if not fits or len(wrong) > rejected or any(index >= size for index in wrong) or size > np.iinfo(np.int64).max:
            raise ValueError("got, want, bound, wrong and rejected do not fit the shape")
        return cls(aspect, blob, layer, kind, shape, got, want, bound, np.array(wrong, dtype=np.int64), rejected)
