"""Space: the dimensions in which cases of a loss may differ, and the classes of values of each, by name.

Everything follows from roles and options. A dimension has at most a dozen classes; a class stands for several values
that an implementation has no reason to tell apart, so both sides of a power of two are one class of sizes. Which rows
of this space are cases, is said by covering arrays (`conformance.suite.covering`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

from conformance.losses.kinds import kinds_of
from conformance.losses.loss import Loss
from conformance.losses.options import Option
from conformance.losses.roles import Marks, Matrix

__all__ = [
    "FREE",
    "HELD",
    "LARGE",
    "NOTHING",
    "RESIZED",
    "SIZES",
    "UNSET",
    "WEIGHTS",
    "Limit",
    "Row",
    "Space",
    "sizes_named",
]

Row = Mapping[str, str]
"""A dimension's name to one of its classes."""

UNSET, NOTHING = "unset", "none"
FREE = 4500
"""The most entries that scores of a row have, but for the few about large ones: a case is judged in milliseconds."""

SIZES: dict[str, tuple[int, ...]] = {
    "few": (2, 3, 4),
    "one": (1,),
    "8": (5, 7, 8, 9),
    "32": (15, 16, 17, 31, 32, 33, 63, 64, 65),
    "256": (127, 128, 129, 255, 256, 257),
    "1024": (511, 512, 513, 1023, 1024, 1025),
}
"""Counts of items and of entries, around the powers of two that blocks, registers and small integers have."""

LARGE: dict[str, tuple[int, ...]] = {"32768": (32771,), "65536": (65541,)}
"""What a few rows have instead: beyond the integers of 16 bits, with a sign and without."""

_LARGE_FREE = 140_000
"""The most where a row is about large ones."""

_OF_A_MATRIX = 129
"""The most classes where there is a number for every pair of them."""

WEIGHTS: dict[str, tuple[float, ...]] = {
    UNSET: (),
    "one": (1.0,),
    "two-and-a-half": (2.5,),
    "minus-three-quarters": (-0.75,),
    "below-minus-one": (-3.25,),
    "tiny": (2.0**-20 / 3,),
    "huge": (2.0**20 / 3,),
    "zero": (0.0,),
    "then-minus-one-and-a-half": (),
    "then-zero": (),
}
"""A loss_weight; or none, and a diff of the top that somebody sets between the passes (`HELD`)."""

HELD = {"then-minus-one-and-a-half": -1.5, "then-zero": 0.0}

IGNORE_LABELS = (UNSET, "255", "-1", "-7", "300", "0", "2")
"""Values of an ignore_label: a class, none, below -1, one that 8 bits take for a class."""

_NEAR, _UNLIKE, _MANY = "apart-by-little", "unlike", ("256", "1024")
"""Kinds of values and sizes of which only few rows have all three."""

RESIZED = ("smaller", "larger")
"""Passes before which the batch was larger, and smaller."""

IGNORED = (NOTHING, "some", "all-but-one", "all")
"""Which answers hold it."""


@dataclass(frozen=True)
class Limit:
    """What may not meet: rows whose ``fields`` do not satisfy ``holds`` are none of the space."""

    fields: tuple[str, ...]
    holds: Callable[[Row], bool]


@dataclass(frozen=True, eq=False)
class Space:
    """The space of a loss's cases."""

    loss: Loss

    @cached_property
    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Every dimension with its classes, the default first: a row that leaves one out has its default."""
        loss = self.loss
        found: dict[str, tuple[str, ...]] = {"items": tuple(SIZES), "entries": self._entries}
        found["layout"] = self._layouts
        found["answers"] = ("as-scores", "other-axes") if loss.answer.role.by_item else ("as-scores",)
        for bottom in loss.bottoms:
            found[bottom.name] = tuple(kinds_of(bottom.role))
        for path, values in self.options.items():
            found[_field(path)] = tuple(values)
        if loss.ignores:
            found["ignore_label"], found["ignored"] = IGNORE_LABELS, IGNORED
        found["loss_weight"] = tuple(WEIGHTS)
        found["phase"] = ("TRAIN", "TEST")
        found["propagate_down"] = self._asked
        found["prefill"] = (NOTHING, "nan", "seven")
        found["tops"] = ("one", "two", "two-weighted") if loss.two_tops else ("one",)
        found["pass"] = self._passes
        found["beside"] = (NOTHING, "sibling")
        return {name: classes for name, classes in found.items() if len(classes) > 1}

    @cached_property
    def options(self) -> dict[str, dict[str, Option]]:
        """The options' paths, each with its classes and the values that they stand for; unset, the default, first."""
        apart = {self.loss.axis_option, "loss_param.ignore_label"}
        return {
            path: {
                UNSET: None,
                **{_word(v): v for v in (*values, *self.loss.further.get(path, ())) if v is not None},
            }
            for path, values in self.loss.options.items()
            if path not in apart
        }

    @cached_property
    def threes(self) -> tuple[tuple[str, ...], ...]:
        """Dimensions among which every three meet: a size, an option, a pass."""
        chosen = [_field(path) for path in self.options] + [name for name in ("ignored",) if name in self.dimensions]
        return tuple((size, option, "pass") for size in ("items", "entries") for option in chosen)

    @cached_property
    def masks(self) -> dict[str, tuple[str, ...]]:
        """Classes in which much of what goes wrong elsewhere is multiplied by 0: every pair of others meets without."""
        hidden = {"loss_weight": ("zero", "then-zero"), "ignored": ("all",)}
        return {name: classes for name, classes in hidden.items() if name in self.dimensions}

    def masked(self, row: Row) -> bool:
        """Whether the row has one of them."""
        return any(row.get(name) in classes for name, classes in self.masks.items())

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """What keeps classes of several dimensions apart."""
        layout = ("layout",) if len(self._layouts) > 1 else ()
        found = [Limit(("items", "entries", *layout), lambda row: bool(self.shapes_of(row)))]
        if self.loss.ignores:
            found.append(
                Limit(
                    ("ignore_label", "ignored"), lambda row: row["ignore_label"] != UNSET or row["ignored"] == NOTHING
                )
            )
        masks = self.masks
        found.append(Limit(tuple(masks), lambda row: sum(row[name] in hidden for name, hidden in masks.items()) <= 1))
        if set(RESIZED) & set(self._passes):
            found.append(
                Limit(
                    ("propagate_down", "pass"), lambda row: row["pass"] not in RESIZED or row["propagate_down"] == "all"
                )
            )
            if "first" in self._layouts:
                found.append(
                    Limit(("layout", "pass"), lambda row: row["pass"] not in RESIZED or row["layout"] != "first")
                )
        return tuple(limit for limit in found if set(limit.fields) <= self.dimensions.keys())

    @property
    def further(self) -> Iterator[dict[str, str]]:
        """Rows that pairs do not promise: labels that are the opposites of an ignore_label, items of many entries
        within a margin, and counts that are too many for 16 bits, of what options change and of classes."""
        yield from self._within_margin()
        if self.loss.ignores and self.loss.labelled:
            for ignored in ("-1", "-7"):
                yield {"entries": "32", "items": "8", self.loss.answer.name: "low", "ignore_label": ignored}
        first = self.loss.bottoms[0].name
        chosen = [*map(_field, self.options), "ignore_label"]
        changed = {name: self.dimensions[name][1] for name in chosen if name in self.dimensions}
        if "normalization" in changed:  # what counts what is not ignored
            changed["normalization"] = "VALID" if "VALID" in self.dimensions["normalization"] else UNSET
        kind = {first: self.dimensions[first][1]} if first in self.dimensions else {}
        last = {self.loss.answer.name: "last"} if self.loss.labelled else {}
        # Among so many items of few entries some have marks that are neither alone, and a loss of NaN shows nothing.
        bits = {self.loss.answer.name: "bits"} if isinstance(self.loss.answer.role, Marks) else {}
        yield {**kind, **bits, **changed, "items": "65536", "layout": self._layouts[:2][-1], "pass": self._passes[-1]}
        if not self.loss.bottom(Matrix):
            other = {"loss_weight": "below-minus-one", "phase": "TEST", "pass": "other-answers"}
            yield {**kind, **last, **other, "items": "one", "entries": "32768"}

    def _within_margin(self) -> Iterator[dict[str, str]]:
        """Items of many entries are farther apart than any margin, unless they are made to be near each other: under
        the widest margin of those published, with every switch on and off."""
        near = {name: _NEAR for name, classes in self.dimensions.items() if _NEAR in classes}
        if "margin" not in self.loss.traits or not near:
            return
        unlike = {name: _UNLIKE for name, classes in self.dimensions.items() if _UNLIKE in classes}
        numbers = {path: [v for v in self.loss.options[path] if isinstance(v, float)] for path in self.options}
        widest = {_field(path): _word(max(values)) for path, values in numbers.items() if values}
        switches = [_field(path) for path, classes in self.options.items() if any(v is True for v in classes.values())]
        for entries in _MANY:
            for chosen in product(*([self.dimensions[name][0], _word(True)] for name in switches)):
                yield {**near, **unlike, **widest, **dict(zip(switches, chosen, strict=True)), "entries": entries}

    def allowed(self, row: Row) -> bool:
        """Whether a row is one of the space; dimensions that it leaves out have their defaults."""
        whole = self.whole(row)
        return all(limit.holds(whole) for limit in self.limits)

    def meets(self, classes: Row) -> bool:
        """Whether a row has these classes, for what some limit says of them and of dimensions that are left open."""
        return all(
            any(
                limit.holds({**classes, **dict(zip(left, chosen, strict=True))})
                for chosen in product(*map(self.dimensions.__getitem__, left))
            )
            for limit in self.limits
            for left in [[name for name in limit.fields if name not in classes]]
        )

    def whole(self, row: Row) -> dict[str, str]:
        """The row with the defaults of what it leaves out."""
        return {name: row.get(name, classes[0]) for name, classes in self.dimensions.items()}

    def shapes_of(self, row: Row) -> list[tuple[int, int]]:
        """The numbers of items and entries that a row's classes stand for and its layout can hold."""
        return _pairs(row["items"], row["entries"], row.get("layout", "flat") == "first", self._most)

    @property
    def _most(self) -> int:
        return _OF_A_MATRIX if self.loss.bottom(Matrix) else FREE

    @property
    def _entries(self) -> tuple[str, ...]:
        return tuple(name for name, counts in SIZES.items() if counts[0] <= self._most)

    @property
    def _layouts(self) -> tuple[str, ...]:
        axes = self.loss.options.get(self.loss.axis_option, ())
        if len(axes) > 1:
            return ("flat", "image", "last", "second", "minus-two", "first")
        if "rows" in self.loss.traits:
            return ("flat",)
        return ("flat", "image") if axes else ("flat", "three", "deep")

    @property
    def _asked(self) -> tuple[str, ...]:
        """Who takes a gradient: whatever can under force_backward, learned blobs, those that propagate_down names."""
        forced = ("all",) if self.loss.forced else ()
        names = self.loss.learned if len(self.loss.learned) > 1 else ("named",)
        return (*forced, "learned", *names)

    @property
    def _passes(self) -> tuple[str, ...]:
        """What came before the pass that is judged."""
        resized = (
            () if not self.loss.forced else ("smaller",) if "sized-once" in self.loss.traits else ("smaller", "larger")
        )
        return (NOTHING, "other-answers", "other-values", *resized)


def sizes_named(name: str) -> tuple[int, ...]:
    """The counts that a class of sizes stands for."""
    return SIZES[name] if name in SIZES else LARGE[name]


@cache
def _pairs(items: str, entries: str, classes_first: bool, most: int) -> list[tuple[int, int]]:
    """``classes_first`` where the first axis, which the labels have to share, is that of the classes."""
    most_entries = _LARGE_FREE if items in LARGE or entries in LARGE else FREE
    return [
        (n, c)
        for n in sizes_named(items)
        for c in sizes_named(entries)
        if n * c <= most_entries and (c <= most or entries in LARGE) and (not classes_first or n % c == 0)
    ]


def _field(path: str) -> str:
    return path.rpartition(".")[2]


def _word(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
