"""Labels: what a layer makes of labels, targets and similarities that are no whole numbers, ignored, or all ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.judge.serving import STEMS
from conformance.losses.recipes import Recipe, recipes_of
from conformance.suite.judged import bundle

__all__ = ["checks"]

FAMILY = "labels"
WEIGHT = 2.5
MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")

Served = tuple[Case, Sequence[str]]


def checks() -> Iterator[Check]:
    for stem, kind in STEMS.items():
        cases = list(_cases(recipes_of(stem)[0]))
        if cases:
            yield bundle(f"{FAMILY}/{stem}", stem, cases, layer_types=(kind,))


def _cases(recipe: Recipe) -> Iterator[Served]:
    if recipe.stem in ("hinge_loss", "infogain_loss", "multinomial_logistic_loss", "softmax_with_loss"):
        yield _case(recipe, "fractional", _FRACTIONS), [f"{recipe.stem}.label-truncation"]
    if recipe.stem == "contrastive_loss":
        for name, flags in _SIMILARITIES.items():
            yield _case(recipe, name, flags), ["contrastive_loss.similarity-truncation"]
    if recipe.stem == "sigmoid_cross_entropy_loss":
        yield _case(recipe, "beyond-one", _TARGETS), [f"{recipe.stem}.fractional-targets"]
    if recipe.stem in ("infogain_loss", "sigmoid_cross_entropy_loss", "softmax_with_loss"):
        yield from _ignoring(recipe)


_FRACTIONS = np.array([0.75, 2.5, -0.5, 3.9375])
"""Labels 0, 2, 0 and 3: rounding, or rounding down, takes each for another class or none."""

_SIMILARITIES = {
    "similarity-fractional": np.array([0.5, -0.75, 1.5, 0.9375, -1.5]),
    "similarity-beyond-one": np.array([2.0, -1.0, 0.0, 7.0, 1.0]),
}
"""One for each of five pairs; whatever truncates to 0 is dissimilar."""

_TARGETS = np.resize([2.0, -1.0, 0.5, 1.0, 1.5, -0.25, 0.0], 20)


def _ignoring(recipe: Recipe) -> Iterator[Served]:
    """Ignored labels of either sign and 0, fractional ones with them; and nothing but ignored labels."""
    served = [f"{recipe.stem}.ignore-label", f"{recipe.stem}.normalization"]
    for ignored, near in ((0, -0.75), (-1, -1.5), (2, 2.25), (255, 255.0)):
        for mode in ("", *(f"normalization: {mode}" for mode in MODES)):
            labels = _labels(recipe)
            labels[[0, -1]], labels[labels.size // 2] = ignored, near
            name = f"ignore-{ignored}-{mode.rpartition(' ')[2].lower() or 'default'}"
            yield _case(recipe, name, labels, f"ignore_label: {ignored} {mode}"), served
    for mode in MODES:
        labels = np.full(_labels(recipe).size, 255.0)
        case = _case(recipe, f"all-ignored-{mode.lower()}", labels, f"ignore_label: 255 normalization: {mode}")
        yield case, [f"{recipe.stem}.all-ignored", f"{recipe.stem}.normalization"]


def _labels(recipe: Recipe) -> Array:
    """The recipe's own labels or targets, flat."""
    return recipe.values(seed=4)[recipe.bottoms[1][0]].ravel()


def _case(recipe: Recipe, name: str, labels: Array, loss_param: str = "") -> Case:
    """The recipe with other labels (targets, similarities), and a loss_param."""
    given = f"loss_param {{ {loss_param} }}" if loss_param else ""
    varied = replace(recipe, options=f"{recipe.options} {given}")
    blob = recipe.bottoms[2 if recipe.stem == "contrastive_loss" else 1][0]
    values = varied.values(seed=4)
    values[blob] = labels.astype(np.float64).reshape(values[blob].shape)
    return varied.case(f"{FAMILY}/{recipe.stem}/{name}", weights=(WEIGHT,), values=values)
