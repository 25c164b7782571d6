"""Space: cases that covering arrays choose from the declared space of a loss, so that every pair of its dimensions
meets.

A row of an array names a class of values for each dimension (`conformance.losses.space`); everything else of its case
is drawn from the row itself. A case's id is the digest of its row, defaults left out: so a dimension that comes later
leaves the ids as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.contract.check import Check
from conformance.contract.dtypes import DEFAULT, FLOAT
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.kinds import ORDINARY, beside, depends, kinds_of
from conformance.losses.nets import source
from conformance.losses.options import Option
from conformance.losses.roles import Labels, Shape, Similarity
from conformance.losses.space import HELD, LARGE, NOTHING, RESIZED, UNSET, WEIGHTS, Space
from conformance.requirements import CATALOGUE
from conformance.suite.covering import Line, digest_of, lines_of
from conformance.suite.judged import bundle

__all__ = ["FAMILY", "Point", "checks"]

FAMILY = "space"
CORE = 64
"""The most terms of a sum in a core case."""

_GROWING = 600
"""The most items of a batch that three passes begin with one more of."""

EXTENTS = {"small": DEFAULT, "medium": DEFAULT, "further": (FLOAT.name,), "large": (FLOAT.name,)}
"""Checks of each loss, and the types they run in: every pair meets in one type, what is small in all of them."""

_AXES = {"flat": None, "image": None, "last": -1, "second": 2, "minus-two": -2, "first": 0}
_PREFILLS = {"nan": np.nan, "seven": 7.0}
_BESIDE = "beside"
"""The first bottom of the layer of the same type that a row may have before its own."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """For each loss a check of each extent."""
    for stem, loss in losses.items():
        points = [Point(Space(loss), line) for line in lines_of(loss)]
        for extent in EXTENTS:
            cases = [(point.case, point.served) for point in points if point.extent == extent]
            if cases:
                types, core = EXTENTS[extent], extent == "small"
                yield bundle(
                    f"{FAMILY}/{stem}/{extent}", stem, cases, dtypes=types, core=core, layer_types=(loss.type,)
                )


@dataclass(frozen=True, eq=False)
class Point:
    """A row of a space as a case; ``line.draw`` tells one drawing of its values from another."""

    space: Space
    line: Line

    @property
    def loss(self) -> Loss:
        return self.space.loss

    @cached_property
    def row(self) -> dict[str, str]:
        return self.space.whole(self.line.row)

    @cached_property
    def name(self) -> str:
        return digest_of(self.space, self.line.row)

    def has(self, dimension: str, *classes: str) -> bool:
        """Whether the dimension has one of these classes; a space without it has none of them."""
        return self.row.get(dimension) in classes

    @cached_property
    def size(self) -> tuple[int, int]:
        """Items (positions beside an axis of classes) and entries."""
        pairs = self.space.shapes_of({"items": "few", "entries": "few", **self.row})
        return pairs[int(self._random(0).integers(len(pairs)))]

    @property
    def _layout(self) -> str:
        return self.row.get("layout", "flat")

    @property
    def extent(self) -> str:
        """Large ones are few, small ones have sums of at most `CORE` terms."""
        items, entries = self.size
        if self.row["items"] in LARGE or self.row["entries"] in LARGE:
            return "large"
        if items * entries <= CORE:
            return "small"
        return "medium" if int(self.name, 16) % 2 else "further"

    def case(self) -> Case:
        """The case; the last pass is the one that the row speaks of."""
        whole = self._variant(self.size[0], 1)
        values = self._values(whole, self._random(2))
        before = self.row.get("pass", NOTHING)
        held = {"loss": HELD[self.row["loss_weight"]]} if self.has("loss_weight", *HELD) else {}
        prefill = self._prefill(whole)
        case_id = f"{FAMILY}/{self.loss.stem}/{self.extent}/{self.name}"
        fields: dict[str, Any] = {"phase": self.row.get("phase", "TRAIN")}
        if before == NOTHING:
            return self._net_case(case_id, whole, values, prefill_diff=prefill, top_diff=held, **fields)
        first, *others = self._before(before, whole, values)
        between = tuple(Pass(**self._fed(whole, other)) for other in others)
        last = Pass(**self._fed(whole, values), prefill_diff=prefill, top_diff=held)
        return self._net_case(case_id, self._resized(before, whole), first, passes=(*between, last), **fields)

    @property
    def served(self) -> list[str]:
        """The requirements that the case is about, as far as the loss has them."""
        facets = ["forward", "loss-weight"]
        if not self.has("loss_weight", "zero"):
            facets.append("backward")
            facets += ["contract-overwrite"] * self.has("prefill", *_PREFILLS)
        facets += self._facets()
        names = [f"{self.loss.stem}.{facet}" for facet in dict.fromkeys(facets)]
        names += ["net.total-loss", *["net.phase"] * self.has("phase", "TEST")]
        names += ["net.reshape"] * self.has("pass", *RESIZED)
        names += [f"{self.loss.stem}.contract-siblings"] * self.has("beside", "sibling")
        return [name for name in names if name in CATALOGUE]

    def _facets(self) -> Iterator[str]:
        """What else the row's classes are about."""
        if self.row.get("normalization", UNSET) != UNSET:
            yield "normalization"
        elif self.row.get("normalize", UNSET) != UNSET:
            yield "deprecated-normalize"
        if self.row.get("ignored", NOTHING) != NOTHING:
            yield "ignore-label" if not self.has("ignored", "all") else "all-ignored"
        if _AXES.get(self._layout) is not None:
            yield "axis"
        if self._layout != "flat":
            yield "spatial"
        if self.has("answers", "other-axes"):
            yield "label-shapes"
        if self.has(self.loss.answer.name, "fractional", "minus-zero"):
            yield "label-truncation" if self.loss.labelled else "similarity-truncation"
        if self.loss.graded and not self.has(self.loss.answer.name, "bits"):
            yield "fractional-targets"
        if not self.has("tops", "one") and "tops" in self.row:
            yield "softmax-top"
        if max(self.size) > 1000:
            yield "large-shapes"
        if self.has("pass", *RESIZED):
            yield "contract-batch-change"
        for path in self.space.options:
            word = path.rpartition(".")[2]
            if not self.has(word, UNSET):
                yield from (own for own in self._own_facets if word.startswith(own))

    @cached_property
    def _own_facets(self) -> list[str]:
        return [own.id.partition(".")[2] for own in self.loss.requirements]

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([stream, self.line.draw, int(self.name, 16)])

    def _variant(self, items: int, stream: int) -> Variant:
        scores = self._scores(items, self._random(stream))
        axis = _AXES.get(self._layout)
        options: dict[str, Option] = {
            **self.loss.completed(scores, {} if axis is None else {self.loss.axis_option: axis})
        }
        for path, classes in self.space.options.items():
            options[path] = classes[self.row[path.rpartition(".")[2]]]
        if self.loss.ignores and not self.has("ignore_label", UNSET):
            options["loss_param.ignore_label"] = int(self.row["ignore_label"])
        shapes = self._answers_shaped(scores, self.loss.shapes(scores, options))
        tops = ("loss",) if self.row.get("tops", "one") == "one" else ("loss", "probability")
        asked = self.row.get("propagate_down", "all")
        count = self.loss.classes(scores, options)
        return Variant(self.loss, self.name, shapes, options, count, tops=tops, unforced=asked != "all")

    def _scores(self, items: int, rng: np.random.Generator) -> Shape:
        """The first bottom's shape: the items along one axis or more, the entries along others."""
        entries, layout = self.size[1], self._layout
        if layout == "flat":
            return (items, entries)
        if layout in ("three", "deep"):
            axes = 2 if layout == "three" else 3
            flat = (entries, 1, 1)[:axes]
            return (items, *(flat if "flat" in self.loss.traits else _factors(entries, axes, rng)))
        outer, inner, last = _factors(items, 3, rng)
        arranged = {
            "image": (outer, entries, inner, last),
            "last": (outer, inner * last, entries),
            "second": (outer, inner, entries, last),
            "minus-two": (outer * inner, entries, last),
            "first": (entries, inner * outer, last),
        }
        return arranged[layout]

    def _answers_shaped(self, scores: Shape, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """The answers' axes after the first may be others than those of the scores."""
        name = self.loss.answer.name
        size, first = int(np.prod(shapes[name])), scores[0]
        if self.has("layout", "first"):
            shapes[name] = (first, size // first)
        if self.has("answers", "other-axes"):
            role = self.loss.answer.role
            by_item = isinstance(role, (Labels, Similarity)) and self.loss.unit == "sample" and size == first
            one_channel = isinstance(role, Labels) and role.one_channel
            flat = (first, 1, size // first) if one_channel else (first, size // first)
            shapes[name] = (first, 1, 1, 1) if by_item or (len(scores) == 2 and size == first) else flat
            if len(scores) == 2 and not by_item and size != first:
                shapes[name] = (first, *_factors(size // first, 2, self._random(3)))
        return shapes

    def _net_case(self, case_id: str, variant: Variant, values: dict[str, Array], **fields: Any) -> Case:
        weights: tuple[float, ...] = WEIGHTS[self.row["loss_weight"]]
        if weights and len(variant.tops) == 2:
            weights = (*weights, 0.5 if self.has("tops", "two-weighted") else 0.0)
        asked = self.row.get("propagate_down", "all")
        extra = ""
        if asked not in ("all", "learned"):
            names = [asked] if asked in variant.shapes else list(variant.learned)
            extra = " ".join(f"propagate_down: {str(name in names).lower()}" for name in variant.shapes)
        net = variant.sources() + self._sibling(variant, extra) + variant.layer(weights=weights, extra=extra)
        return Case(case_id, net, **self._fed(variant, values), forms=self.loss.forms, **fields)

    def _sibling(self, variant: Variant, extra: str) -> str:
        """Another layer of the type, with the same options, that shares all but the first bottom and runs before."""
        if not self.has("beside", "sibling"):
            return ""
        name, shape = variant.first, variant.shapes[variant.first]
        shapes = {_BESIDE if each == name else each: shape for each, shape in variant.shapes.items()}
        weights = (0.625, *(0.0 for _ in variant.tops[1:]))
        layer = replace(variant, shapes=shapes).layer(name="aside", weights=weights, extra=extra)
        return source(_BESIDE, shape, learnt=name in variant.learned and not variant.forced) + layer

    def _fed(self, variant: Variant, values: dict[str, Array]) -> dict[str, Any]:
        """What feeds the values, a sibling's among them."""
        fed = variant.feed({name: values[name] for name in variant.shapes})
        if _BESIDE in values:
            learnt = variant.first in variant.learned and not variant.forced
            fed["params" if learnt else "inputs"][_BESIDE] = (values[_BESIDE],) if learnt else values[_BESIDE]
        return fed

    def _values(self, variant: Variant, rng: np.random.Generator) -> dict[str, Array]:
        """Every bottom's values: those that the loss draws, and those that its row has other kinds of."""
        values = self.loss.draw(rng, variant)
        for bottom in self.loss.bottoms:
            kind = self.row.get(bottom.name, ORDINARY)
            if kind == ORDINARY:
                continue
            role, shape = bottom.role, variant.shapes[bottom.name]
            if depends(kind):
                values[bottom.name] = beside(kind, rng, values[role.of].reshape(shape))
            else:
                values[bottom.name] = kinds_of(role)[kind](rng, shape, variant.classes)
        self._ignore(values[self.loss.answer.name])
        if self.has("beside", "sibling"):
            kind = self.row.get(variant.first, ORDINARY)
            draw = kinds_of(self.loss.bottoms[0].role).get(kind)
            shape = variant.shapes[variant.first]
            others = self.loss.draw(rng, variant)[variant.first]
            values[_BESIDE] = others if kind == ORDINARY or draw is None else draw(rng, shape, variant.classes)
        return values

    def _ignore(self, answers: Array) -> None:
        if self.row.get("ignored", NOTHING) == NOTHING:
            return
        flat, rng = answers.reshape(-1), self._random(4)
        chosen = {
            "some": rng.random(flat.size) < 0.4,
            "all-but-one": np.arange(flat.size) != rng.integers(flat.size),
            "all": np.ones(flat.size, bool),
        }
        flat[chosen[self.row["ignored"]]] = float(self.row["ignore_label"])

    def _resized(self, word: str, whole: Variant) -> Variant:
        """What is set up for the first pass: another batch than the last one's where that may be; three passes begin
        with a larger one."""
        size = whole.items
        if word in RESIZED:
            return whole.batch(size + 3 if word == "smaller" else max(1, size // 2))
        resizable = whole.forced and not self.has("layout", "first") and size < _GROWING
        return whole.batch(size + 1) if word == "other-values" and resizable else whole

    def _before(self, word: str, whole: Variant, values: dict[str, Array]) -> list[dict[str, Array]]:
        """The passes before: other answers, another batch, or two of which all values are others."""
        others = self._values(self._resized(word, whole), self._random(5))
        if word == "other-answers":
            name = self.loss.answer.name
            return [{**values, name: others[name]}]
        return [others, self._values(whole, self._random(6))] if word == "other-values" else [others]

    def _prefill(self, variant: Variant) -> dict[str, float]:
        value = _PREFILLS.get(self.row.get("prefill", NOTHING))
        return {} if value is None else {name: value if name in variant.learned else 7.0 for name in variant.shapes}


def _factors(count: int, parts: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Numbers whose product is ``count``, drawn."""
    found: list[int] = []
    for _ in range(parts - 1):
        divisors = [each for each in range(1, count + 1) if count % each == 0]
        found.append(int(rng.choice(divisors)))
        count //= found[-1]
    return (*found, count)
