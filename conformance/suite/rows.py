"""Rows: losses over a thousand classes and more, on scores that fused kernels get wrong.

A kernel that works through a row in blocks keeps a running maximum, and rescales what it has summed where a later block
has a larger one. It goes wrong where a whole block is masked with minus infinity, where the maximum comes last or
twice, or where the class that is right is nearly certain, so that its gradient, p - 1, is lost if p is rounded first.
The rows are one longer than a block, so that the last one is ragged; answers are classes that every type holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT
from conformance.losses import LOSSES, Loss
from conformance.losses.roles import Labels, Matrix, Scores
from conformance.losses.values import INF
from conformance.requirements import CATALOGUE
from conformance.suite.judged import bundle

__all__ = ["ROWS", "case_of", "checks"]

FAMILY = "rows"

LENGTH = 1025
"""Classes of a row: one more than a block of threads holds, at most."""

_LONGER = {"one-far-above": 4097, "masked": 4097}
"""Kinds of which there are longer rows as well: several such blocks, or one that does more than a class a thread."""

_OF_A_MATRIX = 129
"""Where there is a number for every pair of classes."""

FAR = 48.0
"""How far a score lies above the others: their probabilities are 2^-70, and no logarithm has met a floor."""

_CERTAIN = (0.99, 0.999, 0.9999, 1 - 2.0**-17)
"""Probabilities of the right class."""

Drawn = tuple[Array, Array]
"""Scores of four rows, and the class that is right in each."""


def _ordinary(classes: int) -> Array:
    return Scores().draw(np.random.default_rng(classes), (4, classes), classes)


def _one_far_above(classes: int) -> Drawn:
    """First, in the middle, last; and last where the right class is another."""
    x, last = _ordinary(classes), classes - 1
    x[range(4), [0, last // 2, last, last]] += FAR
    return x, np.array([0, last // 2, last, 0])


def _rising(classes: int) -> Drawn:
    """Each score above the one before, or below it; so that all count, or one alone."""
    near, far = np.linspace(-FAR / 4, FAR / 4, classes), np.linspace(-1e4, 1e4, classes)
    last = classes - 1
    return np.stack([near, near[::-1], far, far[::-1]]), np.array([last, last // 2, last, 0])


def _tied(classes: int) -> Drawn:
    """The maximum twice: at the ends, within a block; three times; everywhere."""
    x, last = _ordinary(classes), classes - 1
    for row, places in enumerate(([0, last], [1, 2], [0, last // 2, last])):
        x[row, places] = 16.0
    x[3] = 0.75
    return x, np.array([last, 1, 0, last])


def _masked(classes: int) -> Drawn:
    """Minus infinity in all of the first half, of the second, but at the right class, at every other one."""
    x, last = _ordinary(classes), classes - 1
    x[0, : last // 2], x[1, last // 2 :], x[3, 1::2] = -INF, -INF, -INF
    x[2, :last] = -INF
    return x, np.array([last, 0, last, last])


def _nearly_certain(classes: int) -> Drawn:
    """The others share what is left of the probability alike."""
    last, p = classes - 1, np.array(_CERTAIN)
    x, right = np.zeros((4, classes)), np.array([last, 0, last // 2, last])
    x[range(4), right] = np.log(p / (1 - p) * last)
    return x, right


ROWS: Mapping[str, tuple[Callable[[int], Drawn], tuple[str, ...]]] = {
    "one-far-above": (_one_far_above, ("saturation",)),
    "rising": (_rising, ("saturation",)),
    "tied": (_tied, ()),
    "masked": (_masked, ("nonfinite",)),
    "nearly-certain": (_nearly_certain, ()),
}
"""Kinds of rows, each with what it is about beside the formula."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """One for each loss of scores of classes and labels."""
    for stem, loss in losses.items():
        if not (loss.labelled and loss.axis_option):
            continue
        longer = {} if loss.bottom(Matrix) else _LONGER
        shorter = dict.fromkeys(ROWS, _OF_A_MATRIX if loss.bottom(Matrix) else LENGTH)
        cases = []
        for kind, classes in (*shorter.items(), *longer.items()):
            names = loss.named(("forward", "backward", *ROWS[kind][1]))
            cases.append((partial(case_of, loss, kind, classes), [name for name in names if name in CATALOGUE]))
        about = {"dtypes": (FLOAT.name,), "core": False, "layer_types": (loss.type,)}
        yield bundle(f"{FAMILY}/{stem}", stem, cases, **about)


def case_of(loss: Loss, kind: str, classes: int) -> Case:
    """Four rows of a kind."""
    variant = loss.sized((4, classes))
    values = variant.values()
    scores, right = ROWS[kind][0](classes)
    values[loss.bottoms[0].name] = FLOAT.rounded(scores)
    answer = values[loss.answer.name]
    assert isinstance(loss.answer.role, Labels)
    values[loss.answer.name] = right.astype(np.float64).reshape(answer.shape)
    return variant.case(f"{FAMILY}/{loss.stem}/{kind}-{classes}", weights=(1.0,), values=values)
