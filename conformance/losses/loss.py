"""Loss: what the suite knows of a loss layer beside its formula, and what follows from that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from conformance.contract.case import Array
from conformance.contract.requirement import Requirement
from conformance.losses.examples import Extreme, FormNet, LargeCount, Misreading, QuirkNet, Refused
from conformance.losses.options import Option, Options
from conformance.losses.roles import Counterpart, Labels, Role, Scores, Shape, Similarity, Targets
from conformance.losses.variant import Fill, Variant
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter

__all__ = [
    "FACTS",
    "MODES",
    "Bottom",
    "Loss",
    "Published",
    "by_normalisation",
]

RoleKind = type[Role]
LayerKind = type[Layer]

MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")
"""The names that ``loss_param.normalization`` knows."""

FACTS = {
    "batch-mean": "the loss of a batch is the mean of its parts' losses, weighted by their sizes",
    "shift-invariant": "a number added to every score changes nothing",
    "saturates": "scores of any finite size have finite losses, where the formula goes through exponentials",
    "flat": "an item's bottoms have one axis; further ones have to be 1",
    "rows": "what a suite varies of its first bottom are the items and the entries of each; the rest follows",
    "margin": "an entry or a pair beyond a margin adds nothing",
    "weighted-classes": "an option has a number for each class: they lie along axis 1, as many as at set-up",
    "sized-once": "a batch larger than the one at set-up is undefined in Caffe",
    "paired": "a backward pass that no forward pass of its own came before is undefined in Caffe",
}
"""What a loss may have as ``traits``."""


@dataclass(frozen=True)
class Bottom:
    """``learns`` where it takes a gradient; ``file`` is an option that may name a file in the bottom's stead."""

    name: str
    role: Role
    learns: bool = False
    optional: bool = False
    file: str = ""


@dataclass(frozen=True)
class Published:
    """A variant whose ids are fixed: the first bottom's shape and the options; the rest follows unless it is given.

    ``ignored`` are flat positions (negative ones from the end) of the answers that hold the ignore_label, ``shapes``
    and ``fill`` stand in for what the roles give. A head that is ``in_place`` writes its top into its first bottom.
    """

    name: str
    shape: Shape
    options: Options = field(default_factory=dict)
    ignored: tuple[int, ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    fill: Mapping[str, Fill] = field(default_factory=dict)
    in_place: bool = False


_UNPUBLISHED = (Published("plain", (4, 5)), Published("image", (2, 3, 1, 1)))


@dataclass(frozen=True, eq=False)
class Loss:
    """One loss layer.

    ``layer`` is its reference: formula, type, counts of bottoms and tops, implicit weight, quirks. ``options`` are the
    fields that it reads, with values to try, the default first; ``further`` are values that are tried in the declared
    space besides. ``forward`` and ``backward`` say its formula in a sentence each; ``requirements`` are those that only
    it has. ``source`` is the stem of its files in Caffe's tree.
    ``misreadings`` are options that are easily taken for others, ``equivalents`` the same loss in other libraries, as
    the text of a function ``loss`` of the bottoms and of ``ignored``, an ignore_label or None; under "torch-layer" of
    a function ``tops`` of the bottoms and the layer's parameters (see the adapter ``torch``).
    ``expression`` is the same in PyTorch's words for a layer's options (see `conformance.losses.expression`).
    ``counts`` is what its normaliser counts, where that is not its `unit`.
    ``batches`` counts how often a loss without ``loss_param.normalization`` divides by the batch size, ``blobs`` its
    learnable arrays.
    ``needs`` are options that no net of it can do without, from the shape of the first bottom.
    ``feeds`` makes it a head, which weighs nothing by itself: the loss that it is judged beneath, over its first top
    and the head's further bottoms.
    ``profile`` is the set of losses that it is run with; without ``recorded`` it was read, not measured.
    ``operations`` counts what a value and its gradient cost: (transcendental functions an entry, plain operations an
    entry, transcendental functions a label, pair or item).
    """

    layer: type[Layer]
    bottoms: tuple[Bottom, ...]
    forward: str
    backward: str
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    further: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    traits: frozenset[str] = frozenset()
    requirements: tuple[Requirement, ...] = ()
    extremes: tuple[Extreme, ...] = ()
    refused: tuple[Refused, ...] = ()
    quirk_nets: tuple[QuirkNet, ...] = ()
    form_nets: tuple[FormNet, ...] = ()
    large_count: Callable[[int], LargeCount] | None = None
    source: str = ""
    misreadings: tuple[Misreading, ...] = ()
    equivalents: Mapping[str, str] = field(default_factory=dict)
    expression: Callable[[LayerParameter], str] | None = None
    operations: tuple[int, int, int] = (0, 0, 0)
    counts: str = ""
    batches: int = 1
    blobs: int = 0
    needs: Callable[[Shape], Options] | None = None
    feeds: type[Layer] | None = None
    profile: str = "bvlc"
    recorded: bool = True

    def __post_init__(self) -> None:
        unknown = sorted(self.traits - FACTS.keys())
        if unknown:
            raise ValueError(f"{self.type} has no such trait: {', '.join(unknown)}; known: {', '.join(FACTS)}")

    @property
    def type(self) -> str:
        return self.layer.type

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """What its cases are about where the type by itself means something else, as TYPE:FORM; else empty."""
        if REGISTRY.get(self.type, self.layer) is self.layer:
            return ()
        return tuple(f"{self.type}:{form.name}" for form in self.layer.forms)

    @property
    def title(self) -> str:
        """What sentences and headings call it: the type, and whose it is where BVLC Caffe has one as well."""
        names = " and ".join(form.partition(":")[2] for form in self.forms)
        return f"{self.type} of {names}" if names else self.type

    @property
    def stem(self) -> str:
        """What files and ids call it: the name of the module of its reference."""
        return self.layer.__module__.rpartition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """Every bottom's name."""
        return tuple(bottom.name for bottom in self.bottoms)

    @property
    def needed(self) -> tuple[Bottom, ...]:
        """The bottoms that a variant has unless it says more: all but those that may be absent; one whose place a file
        takes is there in one way or the other."""
        return tuple(bottom for bottom in self.bottoms if bottom.file or not bottom.optional)

    @property
    def learned(self) -> tuple[str, ...]:
        """The bottoms that take a gradient."""
        return tuple(bottom.name for bottom in self.bottoms if bottom.learns)

    def bottom(self, kind: RoleKind) -> Bottom | None:
        """The first bottom of a role."""
        return next((bottom for bottom in self.bottoms if isinstance(bottom.role, kind)), None)

    @cached_property
    def answer(self) -> Bottom:
        """What the first bottom is held against: labels, targets, similarities, boxes, or other scores."""
        return next((bottom for bottom in self.bottoms if bottom.role.answers), self.bottoms[1])

    @property
    def axis_option(self) -> str:
        """The option that names the axis of the classes; empty where there is none."""
        role = self.bottoms[0].role
        return role.axis if isinstance(role, Scores) else ""

    @property
    def weighing(self) -> LayerKind:
        """The layer that has the loss_weight."""
        return self.feeds or self.layer

    @property
    def unit(self) -> str:
        """What the loss is a sum over: a "position" (all classes of a label), an "entry", or a whole "sample"."""
        if self.axis_option:
            return "position"
        by_item = isinstance(self.answer.role, (Counterpart, Labels, Similarity)) or not self.answer.role.by_item
        return "sample" if by_item else "entry"

    @property
    def counted(self) -> str:
        """What FULL and VALID count."""
        return self.counts or self.unit

    @property
    def labelled(self) -> bool:
        """Whether it takes indices of classes."""
        return isinstance(self.answer.role, Labels)

    @property
    def answer_takes_no_gradient(self) -> bool:
        """Whether asking for a gradient of the answers is refused; a head leaves that to the loss that it feeds."""
        return isinstance(self.answer.role, (Labels, Targets)) and self.feeds is None

    @property
    def graded(self) -> bool:
        """Whether it takes targets between 0 and 1."""
        return any(isinstance(bottom.role, Targets) and bottom.role.graded for bottom in self.bottoms)

    @property
    def forced(self) -> bool:
        """Whether force_backward is safe: it asks for a gradient of a matrix or of boxes too, and that is fatal."""
        return all(bottom.role.forced for bottom in self.bottoms)

    @property
    def two_tops(self) -> bool:
        """Whether a second top gives the probabilities."""
        return self.layer.max_tops == 2 and bool(self.axis_option)

    @property
    def ignores(self) -> bool:
        """Whether it reads an ignore_label."""
        return "loss_param.ignore_label" in self.options

    @property
    def default_mode(self) -> str:
        """The normalization where none is set; empty for a loss that always divides by the batch size."""
        return str(self.options.get("loss_param.normalization", ("",))[0])

    @property
    def modes(self) -> tuple[str | None, ...]:
        """The normalizations to try; of a loss that reads none only None, which sets none."""
        return MODES if self.default_mode else (None,)

    @property
    def reads_loss_param(self) -> bool:
        """Whether it reads any option of Caffe's block for losses."""
        return any(option.startswith("loss_param.") for option in self.options)

    @property
    def normalize_option(self) -> bool:
        """Whether it reads the deprecated ``normalize``."""
        return "loss_param.normalize" in self.options

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The published variants, the plainest first; where none is, small scores and an image."""
        plain = (each for each in _UNPUBLISHED if len(each.shape) == 2 or "rows" not in self.traits)
        return tuple(self._bound(published) for published in self.published or plain)

    @property
    def plain(self) -> Variant:
        return self.variants[0]

    def shapes(self, shape: Shape, options: Options, names: Collection[str] = ()) -> dict[str, Shape]:
        """The shapes of the needed bottoms, or of those with ``names``, beside a first one of ``shape``."""
        axis = self._axis(shape, options)
        chosen = [bottom for bottom in self.bottoms if bottom.name in names] if names else self.needed
        return {bottom.name: bottom.role.shape(shape, axis) for bottom in chosen}

    def completed(self, shape: Shape, options: Options) -> Options:
        """The options with those that it cannot do without."""
        return {**(self.needs(shape) if self.needs else {}), **options}

    def classes(self, shape: Shape, options: Options) -> int:
        """How many classes scores of ``shape`` tell apart."""
        role = self.answer.role
        if isinstance(role, Labels) and role.classes:
            return int(str(self.completed(shape, options)[role.classes]))
        axis = self._axis(shape, options)
        return int(np.prod(shape[1:])) if axis is None else shape[axis]

    def draw(self, rng: np.random.Generator, variant: Variant) -> dict[str, Array]:
        """Every bottom's values, bottom by bottom; losses whose bottoms hang together override it."""
        return {
            bottom.name: variant.fill.get(bottom.name, bottom.role.draw)(
                rng, variant.shapes[bottom.name], variant.classes
            )
            for bottom in self.bottoms
            if bottom.name in variant.shapes
        }

    def sized(self, shape: Shape) -> Variant:
        """The plainest variant on a first bottom of another shape, its other bottoms made to fit."""
        if self.traits & {"flat", "rows"}:
            shape = (shape[0], int(np.prod(shape[1:])))
        return self._bound(Published(self.plain.name, shape, {**self.plain.options, **self.completed(shape, {})}))

    def smallest(self, variant: Variant, seed: int) -> tuple[Variant, dict[str, Array]]:
        """One score of one item, and its values."""
        single = variant.reshaped({name: (1,) * len(shape) for name, shape in variant.shapes.items()})
        values = single.values(seed)
        if self.labelled:
            values[self.answer.name][...] = 0.0
        return single, values

    def on(self, name: str, bottoms: Sequence[Array], options: Options) -> Variant:
        """A variant of the shapes of given arrays, in the order of the bottoms; what it draws itself is of no use."""
        shapes = {bottom: array.shape for bottom, array in zip(self.names, bottoms, strict=False)}
        options = self.completed(bottoms[0].shape, options)
        return Variant(self, name, shapes, options, self.classes(bottoms[0].shape, options))

    def named(self, facets: Sequence[str]) -> tuple[str, ...]:
        """The ids of its requirements on these facets."""
        return tuple(f"{self.stem}.{facet}" for facet in facets)

    def _axis(self, shape: Shape, options: Options) -> int | None:
        if not self.axis_option:
            role = self.bottoms[0].role
            return role.classes_on if isinstance(role, Scores) else None
        axis = options.get(self.axis_option, self.options[self.axis_option][0])
        assert isinstance(axis, int)
        return axis % len(shape)

    def _bound(self, published: Published) -> Variant:
        return Variant(
            loss=self,
            name=published.name,
            shapes={**self.shapes(published.shape, published.options), **published.shapes},
            options=self.completed(published.shape, published.options),
            classes=self.classes(published.shape, published.options),
            ignored=published.ignored,
            fill=published.fill,
            in_place=published.in_place,
        )


def by_normalisation(loss_shape: Shape, ignored: tuple[int, ...], ignore_label: int = 255) -> Iterator[Published]:
    """A variant for every normalization, some answers ignored."""
    for mode in MODES:
        options: Options = {"loss_param.ignore_label": ignore_label, "loss_param.normalization": mode}
        yield Published(mode.lower().replace("_", "-"), loss_shape, options, ignored)
