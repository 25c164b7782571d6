"""Contract: what a layer owes its net, pass after pass, and the shapes it has to follow.

Every learned bottom comes from an InnerProduct with the identity as its weights: so gradients are owed without
force_backward, parameter gradients show what accumulates, and scores keep their exact values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.judge.serving import STEMS
from conformance.losses.nets import layer, source
from conformance.losses.recipes import Recipe, recipes_of
from conformance.suite.judged import bundle, single

__all__ = ["checks"]

FAMILY = "contract"
WEIGHT = 2.5
ROUND = ("forward", "backward")

Served = tuple[Case, Sequence[str]]
Change = Callable[[Array], Array]


def checks() -> Iterator[Check]:
    for stem, kind in STEMS.items():
        recipe = recipes_of(stem)[0]
        yield bundle(f"{FAMILY}/{stem}/passes", stem, list(_passes(_Trunk(recipe))), layer_types=(kind,))
        yield bundle(
            f"{FAMILY}/{stem}/shapes", stem, [*_batches(_Trunk(recipe)), *_label_shapes(recipe)], layer_types=(kind,)
        )
    yield _silence()


def _silence() -> Check:
    """A blob that only a Silence reads has the gradient 0, whatever its diff held."""
    net = "force_backward: true\n" + source("x", (2, 3)) + layer("silent", "Silence", ["x"], ())
    case = Case(f"{FAMILY}/net/silence", net, {"x": np.ones((2, 3))}, prefill_diff={"x": np.nan})
    served = ["layer.Silence", "net.bottom-diff-overwritten"]
    return single(case.id, "net", served, case, needs_net=True, layer_types=("Silence",))


@dataclass(frozen=True)
class _Trunk:
    """A recipe whose learned bottoms are computed, from inputs called ``<bottom>_in``.

    ``declared`` are the shapes that the net declares where they are not those fed, ``asks`` is the loss's
    propagate_down.
    """

    recipe: Recipe
    declared: dict[str, tuple[int, ...]] | None = None
    asks: tuple[bool, ...] = ()

    def net(self, beside: str = "") -> str:
        text = ""
        for name, shape, _ in self.recipe.bottoms:
            learned = name in self.recipe.learned
            text += source(f"{name}_in" if learned else name, (self.declared or {}).get(name, shape))
            if learned:
                options = f"inner_product_param {{ num_output: {shape[1]} }}"
                text += layer(name, "InnerProduct", [f"{name}_in"], options=options)
        asks = " ".join(f"propagate_down: {str(ask).lower()}" for ask in self.asks)
        return text + self.recipe.layer(weights=(WEIGHT,), extra=asks) + beside

    def case(self, case_id: str, values: dict[str, Array] | None = None, beside: str = "", **fields: Any) -> Case:
        values = self.recipe.values(seed=5) if values is None else values
        learned = self.recipe.learned
        inputs = {f"{name}_in" if name in learned else name: array for name, array in values.items()}
        width = {name: shape[1] for name, shape, _ in self.recipe.bottoms if name in learned}
        params = {name: (np.eye(width[name]), np.zeros(width[name])) for name in learned}
        return Case(f"{FAMILY}/{self.recipe.stem}/{case_id}", self.net(beside), inputs, params=params, **fields)


def _passes(trunk: _Trunk) -> Iterator[Served]:
    stem, bottoms = trunk.recipe.stem, [name for name, _, _ in trunk.recipe.bottoms]
    stale = {name: np.nan if name in trunk.recipe.learned else 7.0 for name in bottoms}
    overwrites = [f"{stem}.contract-overwrite", "net.bottom-diff-overwritten"]
    yield trunk.case("stale-diffs", prefill_diff=stale), [*overwrites, "net.unasked-diff"]
    fed = trunk.recipe.case(f"{FAMILY}/{stem}/inputs", weights=(WEIGHT,), seed=5)
    shapes = [f"{stem}.top-shape", "net.top-shape", "net.structure"]
    yield fed, [f"{stem}.contract-inputs-unchanged", "net.inputs-unchanged", *shapes]
    yield trunk.case("forward-only", steps=("forward",)), [f"{stem}.forward", "net.unasked-diff"]
    again_forward = [f"{stem}.contract-repeat-forward", "net.repeated-passes", "net.inputs-unchanged"]
    again_backward = [f"{stem}.contract-repeat-backward", "net.repeated-passes", "net.parameter-gradient"]
    yield trunk.case("forward-twice", steps=("forward", *ROUND)), again_forward
    yield trunk.case("backward-twice", steps=(*ROUND, "backward")), again_backward
    yield trunk.case("two-rounds", steps=ROUND * 2), list(dict.fromkeys([*again_forward, *again_backward]))
    beside = trunk.case("beside-another-loss", beside=_another_loss(trunk.recipe), prefill_diff=stale)
    yield beside, [*overwrites, "net.split"]
    silent = replace(trunk, asks=(False,) * len(bottoms))
    unasked = silent.case("unasked-beside-another-loss", beside=_another_loss(trunk.recipe), prefill_diff=stale)
    yield unasked, ["net.propagate-down", "net.split"]
    for ignoring in recipes_of(stem):
        if ignoring.name == "ignore-first-last":
            filled = _Trunk(ignoring).case("stale-diffs-ignored", prefill_diff=stale)
            yield filled, [*overwrites, f"{stem}.ignore-label"]
    columns = {name: np.asfortranarray(array) for name, array in trunk.recipe.values(seed=5).items()}
    yield trunk.case("column-major", columns), [f"{stem}.forward", f"{stem}.backward"]
    yield from _propagating(trunk)


def _another_loss(recipe: Recipe) -> str:
    """A EuclideanLoss that pulls the first bottom toward 0: both gradients are owed to one blob."""
    return source("zero", recipe.bottoms[0][1]) + layer("other", "EuclideanLoss", ["x", "zero"], weights=(0.5,))


def _propagating(trunk: _Trunk) -> Iterator[Served]:
    """Every choice among the learned bottoms, over diffs that hold something: what is not asked for stays or is 0."""
    stem, names = trunk.recipe.stem, [name for name, _, _ in trunk.recipe.bottoms]
    learned = len(trunk.recipe.learned)
    for choice in range(2**learned):
        asks = tuple(bool(choice >> i & 1) for i in range(learned)) + (False,) * (len(names) - learned)
        word = "-".join(name for name, ask in zip(names, asks, strict=True) if ask) or "nothing"
        served = ["net.propagate-down", "net.unasked-diff", *([f"{stem}.propagate-down"] if any(asks) else [])]
        yield replace(trunk, asks=asks).case(f"propagate-{word}", prefill_diff=dict.fromkeys(names, 7.0)), served


def _batches(trunk: _Trunk) -> Iterator[Served]:
    """Batches larger and smaller than declared, run twice; and a batch of a single score."""
    stem, recipe = trunk.recipe.stem, trunk.recipe
    served = [f"{stem}.contract-batch-change", "net.reshape"]
    batch = recipe.bottoms[0][1][0]
    for name, size in (("grown", 2 * batch + 1), ("shrunk", batch - 2), ("shrunk-to-one", 1)):
        if name == "grown" and stem == "contrastive_loss":
            continue  # undefined in Caffe, which sizes its buffers once: a quirk has the case
        bottoms = ((name, s if name == "H" else (size, *s[1:]), maker) for name, s, maker in recipe.bottoms)
        declared = {name: s for name, s, _ in recipe.bottoms}
        yield _Trunk(replace(recipe, bottoms=tuple(bottoms)), declared).case(name, steps=ROUND * 2), served
    single = replace(recipe, bottoms=tuple((name, (1,) * len(s), maker) for name, s, maker in recipe.bottoms))
    values = single.values(seed=5)
    if "y" in values:
        values["y"][...] = 0.0
    yield _Trunk(single).case("one-score", values, steps=ROUND * 2), [f"{stem}.single-item"]


_LABELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "contrastive_loss": ((5,), (5, 1), (5, 1, 1), (5, 1, 1, 1)),
    "euclidean_loss": ((4, 6), (4, 6, 1, 1), (4, 2, 3), (4, 1, 3, 2)),
    "hinge_loss": ((4,), (4, 1), (4, 1, 1), (4, 1, 1, 1)),
    "infogain_loss": ((4,), (4, 1), (4, 1, 1, 1)),
    "multinomial_logistic_loss": ((4,), (4, 1), (4, 1, 1), (4, 1, 1, 1)),
    "sigmoid_cross_entropy_loss": ((4, 6), (4, 6, 1, 1), (4, 2, 3), (4, 1, 3, 2)),
    "softmax_with_loss": ((4,), (4, 1), (4, 1, 1, 1)),
}
"""Shapes of labels, targets or similarities for a batch of as many, one label for each."""

_SPATIAL = ((2, 2, 3), (2, 1, 2, 3), (2, 6), (2, 3, 2))
"""Shapes of labels for scores of shape (2, 4, 2, 3)."""


def _label_shapes(recipe: Recipe) -> Iterator[Served]:
    labels = recipe.bottoms[2 if recipe.stem == "contrastive_loss" else 1][0]
    flattened = recipe.stem in ("euclidean_loss", "sigmoid_cross_entropy_loss")
    for shape in _LABELS[recipe.stem]:
        yield _reshaped(recipe, labels, {"x": (4, 6) if flattened else recipe.bottoms[0][1], labels: shape})
    if recipe.stem in ("infogain_loss", "softmax_with_loss"):
        for shape in _SPATIAL:
            yield _reshaped(recipe, labels, {"x": (2, 4, 2, 3), labels: shape, "H": (1, 1, 4, 4)})
    if recipe.stem == "infogain_loss":
        for shape in ((25,), (5, 5), (1, 25), (1, 1, 5, 5)):
            yield _reshaped(recipe, "H", {"H": shape})


def _reshaped(recipe: Recipe, about: str, shapes: dict[str, tuple[int, ...]]) -> Served:
    """The recipe with some bottoms in other shapes; classes stay as many as the scores have."""
    bottoms = tuple((name, shapes.get(name, shape), maker) for name, shape, maker in recipe.bottoms)
    varied = replace(recipe, bottoms=bottoms)
    values = varied.values(seed=6)
    if "y" in values:
        values["y"] %= values["x"].shape[1]
    case_id = f"{FAMILY}/{recipe.stem}/{about}-{'x'.join(map(str, shapes[about]))}{'-spatial' * (values['x'].ndim > 2)}"
    return varied.case(case_id, weights=(WEIGHT,), values=values), [f"{recipe.stem}.label-shapes"]
