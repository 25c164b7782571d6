"""Roles: what the numbers in a bottom of a loss mean, hence its shape beside the scores and the values worth trying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conformance.contract.case import Array

__all__ = [
    "Counterpart",
    "Identities",
    "Labels",
    "Marks",
    "Matrix",
    "NearestLabels",
    "Probabilities",
    "Role",
    "Scores",
    "Sequence",
    "Shape",
    "Spelling",
    "Similarity",
    "Targets",
    "Weights",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Role:
    """``of`` is the bottom that it speaks of; empty for the first bottom, and for one that stands by itself."""

    of: str = ""

    integers: ClassVar[bool] = False
    """Whether the layer truncates the entries toward zero before it uses them."""

    by_item: ClassVar[bool] = True
    """Whether the first axis counts items."""

    answers: ClassVar[bool] = False
    """Whether the first bottom is held against it, wherever it stands."""

    forced: ClassVar[bool] = True
    """Whether it takes a gradient that force_backward asks for, be it without writing one."""

    fixed: ClassVar[bool] = False
    """Whether its values stay where others are drawn anew: they hang together."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        """The shape beside scores of a shape, whose classes lie along ``axis``; None: along all but the first."""
        return scores

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Values exact in float32, float64 in memory."""
        raise NotImplementedError


_GRID = np.array([k for k in range(-192, 193) if k % 8 != 0]) / 64.0


@dataclass(frozen=True)
class Scores(Role):
    """Any real numbers. ``axis`` is the option that names the axis of the classes, empty where there is none;
    ``classes_on`` is that axis where no option names it."""

    axis: str = ""
    classes_on: int | None = None

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Entries k/64 in [-3, 3], off the multiples of 1/8, so at least 1/64 from the kinks that losses have."""
        return rng.choice(_GRID, size=shape)


@dataclass(frozen=True)
class Counterpart(Scores):
    """Items that the first bottom's are held against as wholes, by their distance."""


@dataclass(frozen=True)
class Sequence(Scores):
    """Scores of symbols over time: (times, items, symbols). Rows of items and symbols stand for so many times, and for
    two symbols at least."""

    TIMES: ClassVar[int] = 4

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return scores if len(scores) == 3 else (self.TIMES, scores[0], max(2, scores[1]))


@dataclass(frozen=True)
class Probabilities(Role):
    """Numbers between 0 and 1, not necessarily of a distribution."""

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return rng.integers(8, 120, size=shape) / 128.0


@dataclass(frozen=True)
class Targets(Role):
    """A number for every entry of the scores: usually the probability that it is to have."""

    graded: ClassVar[bool] = True
    """Whether a number between 0 and 1 stands between what they stand for."""

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return rng.integers(1, 16, size=shape) / 16.0


@dataclass(frozen=True)
class Marks(Targets):
    """1 or 0 for every entry of the scores, whether it is what is looked for; other numbers are neither."""

    graded = False

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Among a dozen of an item one is neither."""
        return np.asarray(np.take([0.0, 1.0, 0.0, 0.0], rng.integers(0, 4, shape)) + 0.5 * (rng.random(shape) > 0.92))


@dataclass(frozen=True)
class Labels(Role):
    """Indices of classes: one for each position beside the class axis, or for each item. ``classes`` is the option that
    says how many there are, empty where the scores do; with ``one_channel`` they have an axis of length 1 where the
    scores have the classes."""

    classes: str = ""
    one_channel: bool = False
    integers = True
    fractions: ClassVar[tuple[float, ...]] = (0.75, 2.5, -0.5, 3.9375)
    """Labels 0, 2, 0 and 3: rounding, or rounding down, takes each for another class or none."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        if axis is None:
            return scores[:1]
        return scores[:axis] + (1,) * self.one_channel + scores[axis + 1 :]

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """The last class is always among them."""
        flat = rng.integers(0, classes, size=int(np.prod(shape))).astype(np.float64)
        flat[flat.size // 2] = classes - 1
        return flat.reshape(shape)


@dataclass(frozen=True)
class NearestLabels(Labels):
    """Labels that are rounded to the nearest class, halves away from 0."""

    fractions: ClassVar[tuple[float, ...]] = (0.75, 2.5, -0.25, 3.4375)
    """Labels 1, 3, 0 and 3: cutting off the fraction takes two of them for other classes."""


@dataclass(frozen=True)
class Spelling(Labels):
    """Symbols of each item, in their order, blanks (0) among them."""

    SYMBOLS: ClassVar[int] = 2

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (scores[-2], self.SYMBOLS)


@dataclass(frozen=True)
class Similarity(Role):
    """One number for each pair of items: 0 where they are unlike, anything else where they are alike."""

    integers = True
    answers = True

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return scores[:1]

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return np.resize([1.0, 0.0, 0.0, 1.0, 0.0], shape)


@dataclass(frozen=True)
class Identities(Role):
    """Whose each item is: those of a pair are alike where two such bottoms, cut off, are equal."""

    integers = True

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return scores[:1]

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """One of three, so that either answer is met."""
        return rng.integers(0, 3, size=shape).astype(np.float64)


@dataclass(frozen=True)
class Matrix(Role):
    """A number for every pair of classes, the label's class first."""

    by_item = False
    forced = False

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        classes = int(np.prod(scores[1:])) if axis is None else scores[axis]
        return (1, 1, classes, classes)

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return rng.integers(-16, 48, size=shape) / 16.0


@dataclass(frozen=True)
class Weights(Role):
    """How much each entry of a bottom counts, or with ``each`` "position" each label; it takes no gradient."""

    each: str = "entry"

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return Labels().shape(scores, axis) if self.each == "position" else scores

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Some that 0 and 1 are not told from by their squares, nor by their roots."""
        return rng.choice([0.25, 0.5, 0.75, 1.0, 1.5, 2.0], size=shape)
