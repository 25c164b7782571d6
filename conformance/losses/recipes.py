"""Recipes: the seven loss layers in their variants, as one-layer nets that every family of checks starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.losses.nets import layer, source

__all__ = ["RECIPES", "Recipe", "recipes_of", "sized"]

Values = Array
Maker = Callable[[np.random.Generator, tuple[int, ...]], Values]


def _scores(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Entries k/64 in [-3, 3], off the multiples of 1/8, so at least 1/64 from every kink of the seven layers."""
    grid = np.array([k for k in range(-192, 193) if k % 8 != 0]) / 64.0
    return rng.choice(grid, size=shape)


def _targets(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return rng.integers(1, 16, size=shape) / 16.0


def _bits(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return np.resize([1.0, 0.0, 0.0, 1.0, 0.0], shape)


def _probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return rng.integers(8, 120, size=shape) / 128.0


def _labels(classes: int, *ignored_at: int, ignored: float = 255.0) -> Maker:
    """Class indices with the last class among them, and the ignored label at the given flat positions (negative: from
    the end)."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
        flat = rng.integers(0, classes, size=int(np.prod(shape))).astype(np.float64)
        flat[flat.size // 2] = classes - 1
        flat[list(ignored_at)] = ignored
        return flat.reshape(shape)

    return make


def _matrix(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return rng.integers(-16, 48, size=shape) / 16.0


@dataclass(frozen=True)
class Recipe:
    """One loss layer with one set of options, and how its bottoms are filled.

    ``bottoms`` are (name, shape, maker); those in ``learned`` take a gradient. ``forced`` nets use force_backward;
    the others get their gradient through a Parameter layer, since force_backward is fatal with an infogain matrix as
    a bottom.
    """

    name: str
    type: str
    stem: str
    bottoms: tuple[tuple[str, tuple[int, ...], Maker], ...]
    options: str = ""
    learned: tuple[str, ...] = ("x",)
    tops: tuple[str, ...] = ("loss",)
    forced: bool = True
    tags: tuple[str, ...] = field(default=())

    def layer(
        self,
        *,
        name: str = "loss",
        weights: Sequence[float] = (),
        rename: dict[str, str] | None = None,
        extra: str = "",
    ) -> str:
        """The loss layer's prototxt; ``rename`` maps its bottoms to other blobs, tops are suffixed like the layer's
        name."""
        bottoms = [(rename or {}).get(blob, blob) for blob, _, _ in self.bottoms]
        tops = [top if name == "loss" else f"{top}_{name}" for top in self.tops]
        return layer(name, self.type, bottoms, tops, weights, f"{self.options} {extra}".strip())

    def sources(self) -> str:
        """The layers that feed it: Input for data, Parameter for what is learnt where force_backward is fatal."""
        text = "force_backward: true\n" if self.forced else ""
        for blob, shape, _ in self.bottoms:
            text += source(blob, shape, learnt=blob in self.learned and not self.forced)
        return text

    def values(self, seed: int = 0) -> dict[str, Values]:
        """Every bottom's values, exact in float32."""
        rng = np.random.default_rng([seed, len(self.name), sum(map(ord, self.name))])
        return {blob: make(rng, shape) for blob, shape, make in self.bottoms}

    def feed(self, values: Mapping[str, Values]) -> dict[str, Any]:
        """A case's ``inputs`` and ``params`` that hold the values."""
        learnt = () if self.forced else self.learned
        return {
            "inputs": {blob: array for blob, array in values.items() if blob not in learnt},
            "params": {blob: (values[blob],) for blob in learnt},
        }

    def case(
        self,
        case_id: str,
        *,
        weights: Sequence[float] = (),
        seed: int = 0,
        values: Mapping[str, Values] | None = None,
        **fields: Any,
    ) -> Case:
        """The one-layer net as a case; ``fields`` are further fields of `Case`."""
        net = self.sources() + self.layer(weights=weights)
        return Case(case_id, net, **self.feed(self.values(seed) if values is None else values), **fields)


def _softmax() -> Iterator[Recipe]:
    def recipe(
        name: str,
        shape: tuple[int, ...],
        labels: tuple[int, ...],
        classes: int,
        loss: str = "",
        softmax: str = "",
        ignored: tuple[int, ...] = (),
        value: float = 255.0,
    ) -> Recipe:
        options = (f"loss_param {{ {loss} }} " if loss else "") + (f"softmax_param {{ {softmax} }}" if softmax else "")
        bottoms = (("x", shape, _scores), ("y", labels, _labels(classes, *ignored, ignored=value)))
        return Recipe(name, "SoftmaxWithLoss", "softmax_with_loss", bottoms, options)

    yield recipe("plain", (4, 5), (4,), 5)
    yield recipe("spatial", (2, 3, 2, 2), (2, 1, 2, 2), 3)
    yield recipe("axis-last", (2, 2, 4), (2, 2), 4, softmax="axis: -1")
    yield recipe("axis-2", (2, 3, 4, 2), (2, 3, 2), 4, softmax="axis: 2")
    yield recipe("one-sample", (1, 3), (1,), 3)
    yield recipe("one-class", (3, 1), (3,), 1)
    yield recipe("ignore-first-last", (5, 3), (5,), 3, "ignore_label: 255", ignored=(0, -1))
    yield recipe("ignore-class", (2, 3, 2, 2), (2, 2, 2), 3, "ignore_label: -1", ignored=(0, 3, -1), value=-1.0)
    for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        name = mode.lower().replace("_", "-")
        yield recipe(name, (2, 3, 2, 2), (2, 2, 2), 3, f"ignore_label: 255 normalization: {mode}", ignored=(0, -1))
    yield recipe("normalize-true", (2, 3, 2, 2), (2, 2, 2), 3, "ignore_label: 255 normalize: true", ignored=(1,))
    yield recipe("normalize-false", (2, 3, 2, 2), (2, 2, 2), 3, "ignore_label: 255 normalize: false", ignored=(1,))


def _sigmoid() -> Iterator[Recipe]:
    def recipe(
        name: str,
        shape: tuple[int, ...],
        loss: str = "",
        ignored: tuple[int, ...] = (),
        maker: Maker = _targets,
        targets: tuple[int, ...] = (),
    ) -> Recipe:
        def fill(rng: np.random.Generator, filled: tuple[int, ...]) -> Values:
            values = maker(rng, filled)
            values.ravel()[list(ignored)] = 255.0
            return values

        options = f"loss_param {{ {loss} }}" if loss else ""
        bottoms = (("x", shape, _scores), ("t", targets or shape, fill))
        return Recipe(name, "SigmoidCrossEntropyLoss", "sigmoid_cross_entropy_loss", bottoms, options)

    yield recipe("plain", (4, 5))
    yield recipe("bits", (4, 5), maker=_bits)
    yield recipe("spatial", (2, 3, 2, 2))
    yield recipe("one-sample", (1, 3))
    yield recipe("target-shape", (3, 4), targets=(3, 2, 2))
    yield recipe("ignore-first-last", (3, 4), "ignore_label: 255", (0, -1))
    for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        yield recipe(
            mode.lower().replace("_", "-"), (2, 3, 2, 2), f"ignore_label: 255 normalization: {mode}", (0, 7, -1)
        )
    yield recipe("normalize-true", (2, 6), "ignore_label: 255 normalize: true", (3,))
    yield recipe("normalize-false", (2, 6), "ignore_label: 255 normalize: false", (3,))


def _infogain() -> Iterator[Recipe]:
    def recipe(
        name: str,
        shape: tuple[int, ...],
        labels: tuple[int, ...],
        classes: int,
        loss: str = "",
        axis: str = "",
        ignored: tuple[int, ...] = (),
    ) -> Recipe:
        options = (f"loss_param {{ {loss} }} " if loss else "") + (f"infogain_loss_param {{ {axis} }}" if axis else "")
        bottoms = (
            ("x", shape, _scores),
            ("y", labels, _labels(classes, *ignored)),
            ("H", (1, 1, classes, classes), _matrix),
        )
        return Recipe(name, "InfogainLoss", "infogain_loss", bottoms, options, forced=False)

    yield recipe("plain", (4, 5), (4,), 5)
    yield recipe("spatial", (2, 3, 2, 2), (2, 2, 2), 3)
    yield recipe("axis-last", (2, 2, 4), (2, 2), 4, axis="axis: -1")
    yield recipe("one-sample", (1, 3), (1,), 3)
    yield recipe("ignore-first-last", (5, 3), (5,), 3, "ignore_label: 255", ignored=(0, -1))
    for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        name = mode.lower().replace("_", "-")
        yield recipe(name, (2, 3, 2, 2), (2, 2, 2), 3, f"ignore_label: 255 normalization: {mode}", ignored=(0, -1))


def _hinge() -> Iterator[Recipe]:
    for norm in ("L1", "L2"):
        shapes: dict[str, tuple[int, ...]] = {
            "plain": (4, 5),
            "flattened": (2, 3, 2, 2),
            "one-sample": (1, 3),
            "one-class": (3, 1),
        }
        for name, shape in shapes.items():
            bottoms = (("x", shape, _scores), ("y", shape[:1], _labels(int(np.prod(shape[1:])))))
            yield Recipe(
                f"{norm.lower()}-{name}", "HingeLoss", "hinge_loss", bottoms, f"hinge_loss_param {{ norm: {norm} }}"
            )
    yield Recipe("default", "HingeLoss", "hinge_loss", (("x", (3, 4), _scores), ("y", (3,), _labels(4))))


def _multinomial() -> Iterator[Recipe]:
    shapes: dict[str, tuple[int, ...]] = {
        "plain": (4, 5),
        "flattened": (2, 3, 2, 2),
        "one-sample": (1, 3),
        "one-class": (3, 1),
    }
    for name, shape in shapes.items():
        bottoms = (("x", shape, _probabilities), ("y", shape[:1], _labels(int(np.prod(shape[1:])))))
        yield Recipe(name, "MultinomialLogisticLoss", "multinomial_logistic_loss", bottoms)


def _euclidean() -> Iterator[Recipe]:
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "plain": ((4, 5), (4, 5)),
        "spatial": ((2, 3, 2, 2), (2, 3, 2, 2)),
        "one-sample": ((1, 3), (1, 3)),
        "vector": ((5,), (5,)),
        "shapes-differ": ((3, 4), (3, 2, 2)),
    }
    for name, (a, b) in shapes.items():
        yield Recipe(
            name, "EuclideanLoss", "euclidean_loss", (("x", a, _scores), ("z", b, _scores)), learned=("x", "z")
        )


def _contrastive() -> Iterator[Recipe]:
    settings = {
        "plain": "",
        "margin": "margin: 3.5",
        "legacy": "legacy_version: true",
        "legacy-margin": "margin: 20 legacy_version: true",
    }
    for name, setting in settings.items():
        options = f"contrastive_loss_param {{ {setting} }}" if setting else ""
        for shape in ((5, 4), (3, 2, 1, 1)):
            bottoms = (("x", shape, _scores), ("z", shape, _scores), ("s", shape[:1], _bits))
            variant = name if len(shape) == 2 else f"{name}-4d"
            yield Recipe(variant, "ContrastiveLoss", "contrastive_loss", bottoms, options, learned=("x", "z"))
    near = (
        ("x", (4, 3), lambda rng, shape: rng.integers(-8, 9, size=shape) / 64.0),
        ("z", (4, 3), lambda rng, shape: rng.integers(-8, 9, size=shape) / 64.0 + 1 / 256),
        ("s", (4,), _bits),
    )
    yield Recipe(
        "inside-margin",
        "ContrastiveLoss",
        "contrastive_loss",
        near,
        "contrastive_loss_param { margin: 2 }",
        learned=("x", "z"),
    )
    yield Recipe(
        "legacy-inside-margin",
        "ContrastiveLoss",
        "contrastive_loss",
        near,
        "contrastive_loss_param { margin: 2 legacy_version: true }",
        learned=("x", "z"),
    )


RECIPES: tuple[Recipe, ...] = (
    *_softmax(),
    *_sigmoid(),
    *_infogain(),
    *_hinge(),
    *_multinomial(),
    *_euclidean(),
    *_contrastive(),
)


def recipes_of(stem: str) -> tuple[Recipe, ...]:
    """The recipes of one layer; the first is its plainest."""
    return tuple(recipe for recipe in RECIPES if recipe.stem == stem)


def sized(stem: str, shape: tuple[int, ...]) -> Recipe:
    """The plainest recipe of a layer on a first bottom of another shape, its other bottoms made to fit."""
    plain, per_position = recipes_of(stem)[0], stem in ("softmax_with_loss", "infogain_loss")
    classes = shape[1] if per_position else int(np.prod(shape[1:]))
    if stem == "contrastive_loss":
        shape = (shape[0], classes)
    labels = (shape[0], *shape[2:]) if per_position else shape[:1]
    fitting = {"y": (labels, _labels(classes)), "s": (shape[:1], _bits), "H": ((1, 1, classes, classes), _matrix)}
    bottoms = ((name, *fitting.get(name, (shape, maker))) for name, _, maker in plain.bottoms)
    return replace(plain, bottoms=tuple(bottoms))
