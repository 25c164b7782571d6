"""Dialects: where BVLC Caffe departs from its own documentation, as independent, named switches.

A quirk has two sides. The ``bvlc`` dialect takes Caffe's side of all of them, ``documented`` of none. A net asks
`Dialect.takes` only where a quirk's situation has arisen, so the dialect knows afterwards which switches a run touched.

Apart from the quirks stands a ledger of departures: places where Caffe's backward formula is not the derivative of
the loss that Caffe's forward reports. Both dialects keep Caffe's formula there; an implementation may follow either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from refimpl import backward_plan, splits
from refimpl.layers import CLASSES, class_of
from refimpl.quirk import Departure, Quirk

__all__ = ["DEPARTURES", "QUIRKS", "Dialect"]

_OF_LAYERS = [quirk for layer in CLASSES for quirk in vars(layer).get("quirks", ())]

QUIRKS: dict[str, Quirk] = {
    quirk.name: quirk
    for quirk in sorted((*splits.QUIRKS, *backward_plan.QUIRKS, *_OF_LAYERS), key=lambda quirk: quirk.number)
}

DEPARTURES: dict[str, Departure] = {
    departure.name: departure for layer in CLASSES for departure in vars(layer).get("departures", ())
}


class Dialect:
    """A side for every quirk, and a record of the switches a run touched.

    ``taken`` are the quirks on Caffe's side, ``true_derivatives`` the departures where the derivative replaces
    Caffe's formula, ``forms`` what a layer type means where forks mean several things by it; ``classes`` computes
    them. Raises `ValueError` for names that do not exist.
    """

    def __init__(
        self,
        name: str,
        taken: Iterable[str] = (),
        true_derivatives: Iterable[str] = (),
        forms: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.forms = dict(forms or {})
        self.classes = {kind: class_of(kind, form) for kind, form in self.forms.items()}
        self.taken = frozenset(taken)
        self.true_derivatives = frozenset(true_derivatives)
        unknown = sorted(self.taken - QUIRKS.keys() | self.true_derivatives - DEPARTURES.keys())
        if unknown:
            raise ValueError(
                f"no such quirk or departure: {', '.join(unknown)}; known: {', '.join([*QUIRKS, *DEPARTURES])}"
            )
        self.touched: set[str] = set()
        self.departed: set[str] = set()
        self.leant = False

    @classmethod
    def named(cls, name: str) -> Dialect:
        """``documented`` or ``bvlc``. Raises `ValueError` for anything else."""
        if name not in ("documented", "bvlc"):
            raise ValueError(f"no dialect named {name!r}: use 'documented' or 'bvlc'")
        return cls(name, QUIRKS if name == "bvlc" else ())

    def takes(self, quirk: str) -> bool:
        """Whether Caffe's side is taken. Call it only where the quirk's situation has arisen: the touch is recorded."""
        if quirk not in QUIRKS:
            raise KeyError(quirk)
        self.touched.add(quirk)
        return quirk in self.taken

    def leans(self, quirk: str) -> bool:
        """Whether Caffe's side is taken, where what follows from it may show later, or never."""
        self.leant = True
        return quirk in self.taken

    @property
    def asked(self) -> bool:
        """Whether a run asked for a side at all: one that did not runs alike on every side."""
        return self.leant or bool(self.touched)

    def derivative(self, departure: str) -> bool:
        """Whether the true derivative replaces Caffe's formula; the touch is recorded, so call it only inside the
        region."""
        if departure not in DEPARTURES:
            raise KeyError(departure)
        self.departed.add(departure)
        return departure in self.true_derivatives
