"""Variant: a loss with one set of options on bottoms of certain shapes, as the one-layer nets of checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.losses.nets import layer, source
from conformance.losses.options import Options, options_text
from conformance.losses.roles import Shape

if TYPE_CHECKING:
    from conformance.losses.loss import Loss

__all__ = ["Fill", "Variant"]

Fill = Callable[[np.random.Generator, Shape, int], Array]
"""Draws a bottom's values, from its shape and the number of classes."""


@dataclass(frozen=True, eq=False)
class Variant:
    """``shapes`` are the bottoms', in the layer's order; labels are drawn below ``classes``.

    ``ignored`` are the flat positions of the answers that hold the ignore_label, ``fill`` draws what a role does not.
    ``unforced`` nets do without force_backward, though it were safe: what is learnt is a Parameter layer then. With
    ``only_first`` no bottom but the first is learnt. ``unweighted`` layers have no loss_weight but what is asked for,
    though they weighed nothing then. ``in_place`` heads write their top into their first bottom.
    """

    loss: Loss
    name: str
    shapes: Mapping[str, Shape]
    options: Options
    classes: int
    ignored: tuple[int, ...] = ()
    fill: Mapping[str, Fill] = field(default_factory=dict)
    tops: tuple[str, ...] = ("loss",)
    unforced: bool = False
    only_first: bool = False
    unweighted: bool = False
    in_place: bool = False

    @property
    def forced(self) -> bool:
        return self.loss.forced and not self.unforced

    @property
    def learned(self) -> tuple[str, ...]:
        return self.loss.learned[:1] if self.only_first else self.loss.learned

    @property
    def first(self) -> str:
        """The first bottom."""
        return self.loss.bottoms[0].name

    def given(self, options: Options) -> Variant:
        """With further options."""
        return replace(self, options={**self.options, **options})

    def reshaped(self, shapes: Mapping[str, Shape]) -> Variant:
        """With some bottoms in other shapes, the options that these need, and classes as many as they were."""
        shapes = {name: shapes.get(name, shape) for name, shape in self.shapes.items()}
        first, needs = shapes[self.first], self.loss.needs
        kept = needs is None or first[1:] == self.shapes[self.first][1:]
        return replace(self, shapes=shapes, options={**self.options, **({} if kept or needs is None else needs(first))})

    def shaped(self, shape: Shape, options: Options | None = None) -> Variant:
        """With a first bottom of ``shape``, further options, and every other bottom as these ask for it."""
        given = self.given(options or {})
        return given.reshaped(self.loss.shapes(shape, given.options, self.shapes))

    def without(self, bottom: str) -> Variant:
        """With one bottom less, an optional one."""
        return replace(self, shapes={name: shape for name, shape in self.shapes.items() if name != bottom})

    @property
    def items(self) -> int:
        """How many items there are."""
        return self.shapes[self.first][self.loss.layer.items_axis]

    def batch(self, size: int) -> Variant:
        """With ``size`` items; a matrix has none."""
        found = {}
        for name in self.by_item:
            axis, shape = self.loss.layer.items_axis if name == self.first else 0, self.shapes[name]
            found[name] = (*shape[:axis], size, *shape[axis + 1 :])
        return self.reshaped(found)

    @property
    def by_item(self) -> tuple[str, ...]:
        """The bottoms that have an axis of items, the first one but for the first bottom of some."""
        return tuple(bottom.name for bottom in self.loss.bottoms if bottom.name in self.shapes and bottom.role.by_item)

    def layer(
        self,
        *,
        name: str = "loss",
        weights: Sequence[float] = (),
        extra: str = "",
    ) -> str:
        """The loss layer's prototxt, behind a head's; tops are suffixed like the layer's name. What weighs nothing
        unasked weighs 1, but where it is ``unweighted``. ``extra`` is said of the head where there is one."""
        tops = [top if name == "loss" else f"{top}_{name}" for top in self.tops]
        if not (weights or self.unweighted or self.loss.weighing.implicit_weight):
            weights = (1.0, *(0.0 for _ in tops[1:]))
        options = f"{options_text(self.options)} {extra}".strip()
        return self.over(name, list(self.shapes), tops, weights, options)

    def over(
        self, name: str, bottoms: Sequence[str], tops: Sequence[str], weights: Sequence[float], options: str
    ) -> str:
        """The layer on some blobs, or a head on them and the loss that it feeds, which has name, tops and weights."""
        feeds = self.loss.feeds
        if feeds is None:
            return layer(name, self.loss.type, bottoms, tops, weights, options)
        head = f"{name}_head"
        below, *others = bottoms
        made = below if self.in_place else head
        return layer(head, self.loss.type, bottoms, [made], options=options) + layer(
            name, feeds.type, [made, *others], tops, weights
        )

    def sources(self) -> str:
        """The layers that feed it: Input for data, Parameter for what is learnt where force_backward is fatal."""
        text = "force_backward: true\n" if self.forced else ""
        return text + "".join(self.source(name) for name in self.shapes)

    def source(self, name: str) -> str:
        """The layer that feeds one bottom."""
        return source(name, self.shapes[name], learnt=name in self.learned and not self.forced)

    def values(self, seed: int = 0) -> dict[str, Array]:
        """Every bottom's values, exact in float32; the same for the same name and seed."""
        rng = np.random.default_rng([seed, len(self.name), sum(map(ord, self.name))])
        values = self.loss.draw(rng, self)
        if self.ignored:
            ignored = self.options["loss_param.ignore_label"]
            assert isinstance(ignored, int)
            values[self.loss.answer.name].ravel()[list(self.ignored)] = ignored
        return values

    def feed(self, values: Mapping[str, Array]) -> dict[str, Any]:
        """A case's ``inputs`` and ``params`` that hold the values."""
        learnt = () if self.forced else self.learned
        return {
            "inputs": {name: array for name, array in values.items() if name not in learnt},
            "params": {name: (values[name],) for name in learnt},
        }

    def case(
        self,
        case_id: str,
        *,
        weights: Sequence[float] = (),
        seed: int = 0,
        values: Mapping[str, Array] | None = None,
        **fields: Any,
    ) -> Case:
        """The one-layer net as a case; ``fields`` are further fields of `Case`."""
        net = self.sources() + self.layer(weights=weights)
        fed = self.feed(self.values(seed) if values is None else values)
        return Case(case_id, net, **fed, forms=self.loss.forms, **fields)
