"""Snippet: a layer of any type as prototxt, and the bottoms that it is tried on.

A snippet is one layer, and the Input layers that declare its bottoms if their shapes matter. A bottom takes a gradient
unless ``propagate_down`` says otherwise or it holds labels: fewer entries than the first bottom and as many items. A
DummyData layer in the place of an Input says with its filler which values the bottom holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.errors import UsageError
from conformance.losses.nets import layer, source
from refimpl.errors import NetError
from refimpl.messages import FillerParameter, LayerParameter
from refimpl.prototxt import dump_layer, parse_net

__all__ = ["KINK_DISTANCE", "Bottom", "Setting", "Snippet"]

Shape = tuple[int, ...]

_PLAUSIBLE: tuple[tuple[Shape, ...], ...] = (
    ((4, 5),),
    ((4, 5), (4,)),
    ((4, 5), (4, 5)),
    ((4, 5), (4, 5), (4,)),
    ((4, 5), (4, 5), (4, 5)),
)
"""Bottoms to try where a snippet declares none: scores, labels of theirs, targets. The first that fit are taken."""


KINK_DISTANCE = 2.0**-10
"""How far scores are from multiples of 1/8, and scores of different bottoms from differing by one."""

_BY_ONE = "scale_param { axis: 0 num_axes: 0 }"
_FILLERS = ("constant", "uniform", "gaussian")


@dataclass(frozen=True)
class Bottom:
    """A bottom of the layer; ``asked`` where it takes a gradient, ``filler`` where it says which values it holds."""

    name: str
    shape: Shape
    asked: bool = True
    filler: FillerParameter | None = None


@dataclass(frozen=True)
class Setting:
    """A snippet's layer on bottoms of definite shapes. ``weights`` are its tops' loss_weights before any factor."""

    layer: LayerParameter
    bottoms: tuple[Bottom, ...]

    @property
    def words(self) -> str:
        """The bottoms' shapes, for a person."""
        return " and ".join(str(bottom.shape) for bottom in self.bottoms)

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the tops before any factor: those of the snippet, or 1 for the first top."""
        given = self.layer.loss_weight
        return given if any(given) else (1.0, *[0.0] * (len(self.layer.top) - 1))

    @property
    def asked(self) -> tuple[str, ...]:
        """The bottoms that take a gradient."""
        return tuple(bottom.name for bottom in self.bottoms if bottom.asked)

    def asking(self, *names: str) -> Setting:
        """The same with a gradient for these bottoms alone."""
        return replace(self, bottoms=tuple(replace(b, asked=b.name in names) for b in self.bottoms))

    def batch(self, size: int) -> Setting:
        """The same for another number of items, in every bottom that has as many as the first."""
        items = self.bottoms[0].shape[0]
        shapes = [(size, *b.shape[1:]) if b.shape[:1] == (items,) else b.shape for b in self.bottoms]
        return replace(self, bottoms=tuple(replace(b, shape=s) for b, s in zip(self.bottoms, shapes, strict=True)))

    def net(self, factor: float = 1.0) -> str:
        """The net: a bottom that takes a gradient comes from an input ``<bottom>_in``, through a learnable factor of 1.

        So gradients are owed without force_backward, which is fatal for layers that take labels.
        """
        text = ""
        for bottom in self.bottoms:
            text += source(f"{bottom.name}_in" if bottom.asked else bottom.name, bottom.shape)
            if bottom.asked:
                text += layer(bottom.name, "Scale", [f"{bottom.name}_in"], options=_BY_ONE)
        weights = tuple(weight * factor for weight in self.weights)
        asks = tuple(bottom.asked for bottom in self.bottoms)
        return text + dump_layer(replace(self.layer, loss_weight=weights, propagate_down=asks))

    def values(self) -> dict[str, Array]:
        """The inputs' values, exact in float32, by the name of the input."""
        classes = self.bottoms[0].shape[1] if len(self.bottoms[0].shape) > 1 else 2
        found: dict[str, Array] = {}
        for i, bottom in enumerate(self.bottoms):
            rng = np.random.default_rng([i, *bottom.shape])
            if bottom.filler is not None:
                values = _drawn(bottom.filler, rng, bottom.shape)
            elif i and holds_labels(bottom.shape, self.bottoms[0].shape):
                values = rng.integers(0, classes, bottom.shape).astype(np.float64)
            else:
                values = _scores(rng, bottom.shape) + i * KINK_DISTANCE
            found[f"{bottom.name}_in" if bottom.asked else bottom.name] = values
        return found

    def case(self, case_id: str, factor: float = 1.0, declared: Setting | None = None, **fields: object) -> Case:
        """The case; ``declared`` gives the shapes that the net declares where they are not those fed."""
        return Case(case_id, (declared or self).net(factor), self.values(), **fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Snippet:
    """``layer``, and what its bottoms come from: a shape and perhaps a filler by name."""

    layer: LayerParameter
    sources: tuple[tuple[str, Shape, FillerParameter | None], ...] = ()

    @classmethod
    def parse(cls, text: str, name: str = "the snippet") -> Snippet:
        """Read a prototxt. Raises `UsageError` for one that is no snippet."""
        try:
            layers = parse_net(text).layer
        except NetError as error:
            raise UsageError(f"{name}: {error}") from None
        sources = tuple(entry for each in layers for entry in _sources(each))
        others = [each for each in layers if each.type not in ("Input", "DummyData")]
        if len(others) != 1:
            raise UsageError(f"{name} holds {len(others)} layers beside Input and DummyData: it is to be one")
        only = others[0]
        declared = {blob for blob, _, _ in sources}
        if declared and not declared.issuperset(only.bottom):
            missing = ", ".join(blob for blob in only.bottom if blob not in declared)
            raise UsageError(f"{name} declares some bottoms and not {missing}: give each an Input, or none")
        if only.propagate_down and len(only.propagate_down) != len(only.bottom):
            raise UsageError(f"{name}: give propagate_down once per bottom, or not at all")
        if any(not shape or 0 in shape for _, shape, _ in sources):
            raise UsageError(f"{name}: every bottom needs a shape of at least one dimension, none of them 0")
        if strange := [f.type for _, _, f in sources if f and f.type not in _FILLERS]:
            raise UsageError(f"{name}: a filler is of type {', '.join(_FILLERS)} here, not {strange[0]!r}")
        if set(only.top) & set(only.bottom):
            raise UsageError(f"{name}: a layer in place cannot be told from its bottom; give the top a name of its own")
        return cls(replace(only, name=only.name or "layer", top=only.top or ("top",)), sources)

    @property
    def stem(self) -> str:
        """What the layer is called in ids: its type, or the class of a Python layer, in lower case with underscores."""
        kind = self.layer.python_param.layer or self.layer.type
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()

    def settings(self) -> Iterator[Setting]:
        """What to try until the layer takes it: bottoms declared or plausible, all asked for or the first alone."""
        for bottoms in self._bottoms():
            names = [bottom.name for bottom in bottoms]
            setting = Setting(replace(self.layer, bottom=tuple(names)), bottoms)
            yield setting
            if len(setting.asked) > 1 and not self.layer.propagate_down:
                yield setting.asking(setting.asked[0])

    def _bottoms(self) -> Iterator[tuple[Bottom, ...]]:
        names = self.layer.bottom
        if self.sources:
            declared = {name: (shape, filler) for name, shape, filler in self.sources}
            yield self._asked([Bottom(name, declared[name][0], filler=declared[name][1]) for name in names])
            return
        for shapes in _PLAUSIBLE:
            if len(names) in (0, len(shapes)):
                called = names or [f"bottom{i}" for i in range(len(shapes))]
                yield self._asked([Bottom(name, shape) for name, shape in zip(called, shapes, strict=True)])

    def _asked(self, bottoms: Sequence[Bottom]) -> tuple[Bottom, ...]:
        labels = [i > 0 and holds_labels(bottom.shape, bottoms[0].shape) for i, bottom in enumerate(bottoms)]
        asks = self.layer.propagate_down or [not label for label in labels]
        return tuple(replace(bottom, asked=ask) for bottom, ask in zip(bottoms, asks, strict=True))


def holds_labels(shape: Shape, scores: Shape) -> bool:
    """Whether a bottom beside scores of that shape is taken for labels."""
    return shape[:1] == scores[:1] and math.prod(shape) < math.prod(scores)


def _sources(each: LayerParameter) -> Iterator[tuple[str, Shape, FillerParameter | None]]:
    if each.type not in ("Input", "DummyData"):
        return
    dummy = each.type == "DummyData"
    shapes = [shape.dim for shape in (each.dummy_data_param.shape if dummy else each.input_param.shape)]
    fillers = each.dummy_data_param.data_filler if dummy else ()
    for i, top in enumerate(each.top):
        shape = shapes[min(i, len(shapes) - 1)] if shapes else ()
        yield top, shape, fillers[min(i, len(fillers) - 1)] if fillers else None


def _scores(rng: np.random.Generator, shape: Shape) -> Array:
    """Entries k/256 in [-3, 3], different as far as they can be, off the multiples of 1/8, where kinks like to be."""
    grid = np.array([k for k in range(-768, 769) if k % 32]) / 256.0
    return rng.choice(grid, size=shape, replace=math.prod(shape) > grid.size)


def _drawn(filler: FillerParameter, rng: np.random.Generator, shape: Shape) -> Array:
    """What a filler draws, rounded to multiples of 2^-12; constants as they are."""
    if filler.type == "constant":
        return np.full(shape, filler.value)
    uniform = filler.type == "uniform"
    values = rng.uniform(filler.min, filler.max, shape) if uniform else rng.normal(filler.mean, filler.std, shape)
    return np.asarray(np.round(values * 4096) / 4096)
