"""Problem: one layer at one size in one type, and its inputs, the same in every process that asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.dtypes import DEFAULT, FLOAT, TYPES
from conformance.timing.sizes import Size

__all__ = ["DTYPES", "IGNORED", "LAYERS", "MODES", "Array", "Layer", "Problem"]

Array = NDArray[Any]

MODES = ("forward", "backward", "both")
"""The loss alone; the gradient alone, after a forward pass that is not timed; one after the other, or fused."""

DTYPES = DEFAULT

IGNORED = {"softmax_with_loss": 255, "infogain_loss": 255, "sigmoid_cross_entropy_loss": -1}
"""The ignore_label of the layers that have one, where a size has ignored labels."""


FLAT = ("contrastive_loss",)
"""Layers that take no spatial axes, in Caffe either: their samples are flattened."""


@dataclass(frozen=True)
class Layer:
    """A loss layer as it is timed.

    ``bottoms`` are the blobs it reads, ``learned`` those that take a gradient. ``unit`` is what its loss is a sum
    over, each independent of the others: a "position" (all classes of a label), an "entry", or a whole "sample".
    """

    stem: str
    type: str
    bottoms: tuple[str, ...]
    unit: str
    learned: tuple[str, ...] = ("x",)


LAYERS: dict[str, Layer] = {
    layer.stem: layer
    for layer in (
        Layer("softmax_with_loss", "SoftmaxWithLoss", ("x", "y"), "position"),
        Layer("sigmoid_cross_entropy_loss", "SigmoidCrossEntropyLoss", ("x", "t"), "entry"),
        Layer("hinge_loss", "HingeLoss", ("x", "y"), "sample"),
        Layer("euclidean_loss", "EuclideanLoss", ("x", "z"), "entry", learned=("x", "z")),
        Layer("contrastive_loss", "ContrastiveLoss", ("x", "z", "s"), "sample", learned=("x", "z")),
        Layer("infogain_loss", "InfogainLoss", ("x", "y", "h"), "position"),
        Layer("multinomial_logistic_loss", "MultinomialLogisticLoss", ("x", "y"), "sample"),
    )
}


@dataclass(frozen=True)
class Problem:
    """What is timed. ``layer`` is a key of `LAYERS`, ``dtype`` one of `DTYPES`."""

    layer: str
    size: Size
    dtype: str

    def __str__(self) -> str:
        return f"{self.layer} {self.size.name} {self.dtype}"

    @property
    def spec(self) -> Layer:
        return LAYERS[self.layer]

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    @property
    def samples(self) -> int:
        return self.size.shape[0]

    @property
    def classes(self) -> int:
        """What a label tells apart: the second axis, for the layers of a sample all that follows the first."""
        return self.size.shape[1] if self.spec.unit == "position" else self.size.elements // self.samples

    @property
    def label_shape(self) -> tuple[int, ...]:
        return (self.samples, *self.size.shape[2:]) if self.spec.unit == "position" else (self.samples,)

    @property
    def ignore_label(self) -> int | None:
        return IGNORED.get(self.layer) if self.size.ignored else None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every bottom."""
        whole = (self.samples, self.classes) if self.layer in FLAT else self.size.shape
        given = {"x": whole, "z": whole, "t": whole, "s": (self.samples,)}
        given |= {"y": self.label_shape, "h": (1, 1, self.classes, self.classes)}
        return {name: given[name] for name in self.spec.bottoms}

    def held_bytes(self) -> int:
        """Bytes of the inputs, and of a gradient for each bottom that takes one."""
        inputs = sum(math.prod(shape) for shape in self.shapes().values())
        return self.itemsize * (inputs + len(self.spec.learned) * self.size.elements)

    def arrays(self) -> dict[str, Array]:
        """Every bottom, contiguous and of ``dtype``; labels too, as in Caffe."""
        rng = np.random.default_rng([self.size.elements, len(self.layer)])
        return _MAKERS.get(self.layer, _logits)(self, rng)


def _logits(problem: Problem, rng: np.random.Generator) -> dict[str, Array]:
    arrays = {"x": _normal(problem, rng), "y": _labels(problem, rng)}
    if "h" in problem.spec.bottoms:
        arrays["h"] = rng.uniform(0.0, 1.0, problem.shapes()["h"]).astype(problem.dtype)
    return arrays


def _probabilities(problem: Problem, rng: np.random.Generator) -> dict[str, Array]:
    x = _uniform(problem, rng)
    x += np.asarray(2.0**-20, x.dtype)
    return {"x": x, "y": _labels(problem, rng)}


def _targets(problem: Problem, rng: np.random.Generator) -> dict[str, Array]:
    t = _uniform(problem, rng)
    if problem.ignore_label is not None:
        t[rng.random(t.shape, dtype=FLOAT.numpy) < problem.size.ignored] = problem.ignore_label
    return {"x": _normal(problem, rng), "t": t}


def _two(problem: Problem, rng: np.random.Generator) -> dict[str, Array]:
    return {"x": _normal(problem, rng), "z": _normal(problem, rng)}


def _pairs(problem: Problem, rng: np.random.Generator) -> dict[str, Array]:
    """Pairs at distances around the margin of 1, so that every case of the loss is met."""
    x, z = _normal(problem, rng), _normal(problem, rng)
    wanted = rng.uniform(0.2, 2.0, problem.samples) / math.sqrt(problem.classes)
    z *= wanted.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    z += x
    return {"x": x, "z": z, "s": rng.integers(0, 2, problem.samples).astype(problem.dtype)}


def _normal(problem: Problem, rng: np.random.Generator) -> Array:
    return rng.standard_normal(problem.shapes()["x"], TYPES[problem.dtype].numpy)


def _uniform(problem: Problem, rng: np.random.Generator) -> Array:
    return rng.random(problem.shapes()["x"], TYPES[problem.dtype].numpy)


def _labels(problem: Problem, rng: np.random.Generator) -> Array:
    labels = rng.integers(0, problem.classes, problem.label_shape).astype(problem.dtype)
    if problem.ignore_label is not None:
        labels[rng.random(labels.shape) < problem.size.ignored] = problem.ignore_label
    return labels


_MAKERS: dict[str, Callable[[Problem, np.random.Generator], dict[str, Array]]] = {
    "sigmoid_cross_entropy_loss": _targets,
    "euclidean_loss": _two,
    "contrastive_loss": _pairs,
    "multinomial_logistic_loss": _probabilities,
}
