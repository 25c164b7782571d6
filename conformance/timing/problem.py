"""Problem: one loss at one size in one type, and its inputs, the same in every process that asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.dtypes import DEFAULT, DOUBLE, FLOAT, TYPES
from conformance.losses import KNOWN, LOSSES, Loss, Variant
from conformance.losses.roles import (
    Identities,
    Labels,
    Marks,
    Matrix,
    Probabilities,
    Role,
    Scores,
    Shape,
    Similarity,
    Targets,
    Weights,
)
from conformance.timing.sizes import Size

__all__ = ["DTYPES", "MODES", "Array", "Problem", "timed_losses"]

Array = NDArray[Any]

MODES = ("forward", "backward", "both")
"""The loss alone; the gradient alone, after a forward pass that is not timed; one after the other, or fused."""

DTYPES = DEFAULT

IGNORE = "loss_param.ignore_label"


@cache
def timed_losses() -> tuple[str, ...]:
    """The losses that can be timed: BVLC Caffe's, and those of forks that have a kernel."""
    from refimpl import fast  # a worker first says whose

    return tuple(stem for stem in KNOWN if stem in LOSSES or stem in fast.__all__)


@dataclass(frozen=True)
class Problem:
    """What is timed. ``layer`` is one of `timed_losses()`, ``dtype`` the name of a type."""

    layer: str
    size: Size
    dtype: str

    def __str__(self) -> str:
        return f"{self.layer} {self.size.name} {self.dtype}"

    @property
    def loss(self) -> Loss:
        return KNOWN[self.layer]

    @cached_property
    def variant(self) -> Variant:
        """The loss on bottoms of this size, all its options left out but an ignore_label where the size has some."""
        plain = self.loss.sized(self.size.shape)
        names = self.loss.plain.shapes.keys()
        if names != plain.shapes.keys():  # its plainest variant has weights, which may be absent
            plain = replace(plain, shapes=self.loss.shapes(plain.shapes[plain.first], plain.options, names))
        return plain if self.ignore_label is None else plain.given({IGNORE: self.ignore_label})

    @property
    def claim(self) -> str:
        """The claim of types that an answer is held to: of a half type, that it is computed in float32."""
        return self.dtype if self.dtype in DTYPES else f"{self.dtype} (computed {FLOAT.name})"

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of its arrays."""
        return TYPES[self.dtype].numpy

    @property
    def drawn(self) -> Any:
        """The type that their numbers are drawn in, and that a softmax of them is kept in."""
        return FLOAT.numpy if self.itemsize <= FLOAT.numpy.itemsize else DOUBLE.numpy

    @property
    def itemsize(self) -> int:
        return self.stored.itemsize

    @property
    def samples(self) -> int:
        return self.size.shape[0]

    @property
    def classes(self) -> int:
        """What a label tells apart: the second axis, for the losses of a sample all that follows the first."""
        return self.variant.classes

    @property
    def answer(self) -> str:
        """The bottom that the scores are held against."""
        return self.loss.answer.name

    @property
    def ignore_label(self) -> int | None:
        """The first that the loss has to try, where the size has ignored labels."""
        tried = self.loss.options.get(IGNORE, ()) if self.size.ignored else ()
        return next((int(value) for value in tried if value is not None), None)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every bottom."""
        return dict(self.variant.shapes)

    def held_bytes(self) -> int:
        """Bytes of the inputs, and of a gradient for each bottom that takes one."""
        inputs = sum(math.prod(shape) for shape in self.shapes.values())
        return self.itemsize * (inputs + len(self.loss.learned) * self.size.elements)

    def arrays(self) -> dict[str, Array]:
        """Every bottom, contiguous and of ``dtype``; labels too, as in Caffe."""
        rng = np.random.default_rng([self.size.elements, len(self.layer)])
        made: dict[str, Array] = {}
        for bottom in [one for one in self.loss.bottoms if one.name in self.shapes]:
            array = DRAWS[type(bottom.role)](self, rng, self.shapes[bottom.name])
            if isinstance(bottom.role, Scores) and bottom.role.of:
                array = _near(self, rng, made[bottom.role.of], array)
            made[bottom.name] = array
        if self.ignore_label is not None:
            answers = made[self.answer]
            answers[rng.random(answers.shape, FLOAT.numpy) < self.size.ignored] = self.ignore_label
        return made


Draw = Callable[[Problem, np.random.Generator, Shape], Array]


def _normal(problem: Problem, rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape, problem.drawn).astype(problem.stored, copy=False)


def _uniform(problem: Problem, rng: np.random.Generator, shape: Shape) -> Array:
    return rng.random(shape, problem.drawn).astype(problem.stored, copy=False)


def _probabilities(problem: Problem, rng: np.random.Generator, shape: Shape) -> Array:
    drawn = _uniform(problem, rng, shape)
    drawn += drawn.dtype.type(2.0**-20)
    return drawn


def _labels(problem: Problem, rng: np.random.Generator, shape: Shape) -> Array:
    """A class that a half type does not hold becomes one below it, as in the suite."""
    return TYPES[problem.dtype].truncated(rng.integers(0, problem.classes, shape)).astype(problem.stored)


def _similarity(problem: Problem, rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(0, 2, shape).astype(problem.stored)


DRAWS: dict[type[Role], Draw] = {
    Scores: _normal,
    Probabilities: _probabilities,
    Targets: _uniform,
    Marks: _similarity,
    Identities: _similarity,
    Labels: _labels,
    Similarity: _similarity,
    Matrix: _uniform,
    Weights: _uniform,
}


def _near(problem: Problem, rng: np.random.Generator, first: Array, apart: Array) -> Array:
    """Items of other scores at distances about 1, so that both sides of a margin are met."""
    distances = rng.uniform(0.2, 2.0, problem.samples) / math.sqrt(first.size / problem.samples)
    apart *= distances.astype(apart.dtype).reshape(-1, *[1] * (apart.ndim - 1))
    apart += first
    return apart
