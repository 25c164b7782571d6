"""Boxes: what the bottoms of a loss over boxes hold, beside rows of a detector's locations.

Corners are xmin, ymin, xmax, ymax in parts of the image. Rows of items and entries stand for so many items and a box
for every four entries.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.losses.roles import Role, Scores, Shape

__all__ = ["CLASSES", "BoxScores", "Certainties", "Locations", "Moves", "Priors", "Truths", "truths_of"]

CLASSES = 3
"""Classes of a detector, the background among them, where nothing else is said."""


def _boxes(rows: Shape) -> int:
    """Boxes that the entries of a row stand for, one at least."""
    return max(1, -(-int(np.prod(rows[1:])) // 4))


class Locations(Scores):
    """Four numbers for each prior of each item: where its box is, as a distance from it."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (scores[0], 4 * _boxes(scores))


class BoxScores(Role):
    """A score for each class of each prior; no two priors are alike, so that the hardest of them are told apart."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (scores[0], CLASSES * _boxes(scores))

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return FLOAT.rounded(4 * rng.random(shape) - 2)


class Priors(Role):
    """The boxes that locations are distances from, and behind them four variances for each."""

    by_item = False
    forced = False
    fixed = True

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (1, 2, 4 * _boxes(scores))

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Some of them cross the border of the image."""
        count = shape[-1] // 4
        centres, halves = rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0.08, 0.25, (count, 2))
        boxes = np.concatenate([centres - halves, centres + halves], 1)
        return FLOAT.rounded(np.stack([boxes, rng.choice([0.1, 0.125, 0.2, 0.25], boxes.shape)])).reshape(shape)


class Truths(Role):
    """Rows of item, class, a number that nobody reads, a box, and whether it is difficult; item -1 is no row."""

    ROWS: ClassVar[int] = 5
    by_item = False
    forced = False
    fixed = True
    answers = True

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (1, 1, self.ROWS, 8)


class Certainties(Role):
    """Of each prior, how likely it is none and how likely it is a box."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (scores[0], 2 * _boxes(scores))

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        """Every third is next to nothing."""
        return FLOAT.rounded(np.where(rng.random(shape) < 1 / 3, 2.0**-9, 0.125) * (1 + rng.random(shape)))


class Moves(Role):
    """The locations of an earlier stage: they move the priors of each item."""

    def shape(self, scores: Shape, axis: int | None) -> Shape:
        return (scores[0], 4 * _boxes(scores))

    def draw(self, rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return FLOAT.rounded(rng.random(shape) - 0.5)


def truths_of(rng: np.random.Generator, shape: Shape, boxes: Array, items: int, classes: int, background: int) -> Array:
    """Boxes near some of the priors: one of the last item, one of the first, a difficult one; the last row is none."""
    rows = np.zeros((int(np.prod(shape)) // 8, 8))
    count = len(rows)
    rows[:, 0] = rng.integers(0, items, count)
    rows[:2, 0] = (items - 1, 0)[:count]
    rows[-1, 0] = -1 if count > 2 else rows[-1, 0]
    rows[:, 1] = (background + 1 + rng.integers(0, max(1, classes - 1), count)) % classes
    rows[:, 2] = 7
    near = boxes[rng.integers(0, len(boxes), count)]
    sizes = np.tile(near[:, 2:] - near[:, :2], 2)
    rows[:, 3:7] = FLOAT.rounded(near + sizes * rng.uniform(-0.125, 0.125, near.shape))
    rows[2:3, 7] = 1
    return rows.reshape(shape)
