"""Bookkeeping: the net's loss, and the weights that its tops' diffs hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.rejection import Rejection
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.backward_plan import Node

__all__ = ["reported_weight_clues", "total_clues", "weight_clues"]

_MOST_TERMS = 6
"""Weighted tops up to which every choice of them is tried."""


@dataclass(frozen=True)
class _Term:
    """A weighted top: its entries as reported, its weight, and whether it is its layer's first top."""

    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    weight: float
    first: bool

    @property
    def total(self) -> float:
        return float(self.values.sum())


def total_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What another sum of the reported tops would explain the net's loss."""
    terms = list(_terms(rejection))
    is_it = difference.is_explained_by
    sums = [term.total for term in terms]
    weights = [term.weight for term in terms]

    def summed(other: list[float], values: list[float] = sums) -> float:
        return float(sum(w * v for w, v in zip(other, values, strict=True)))

    passes = rejection.case.steps.count("forward")
    if passes > 1 and any(is_it(count * difference.want) for count in (0, *range(2, passes + 1))):
        yield Cause.STALE_BUFFER, Grade.PARTLY
    if any(w not in (1.0,) for w in weights) and is_it(float(sum(sums))):
        yield Cause.WEIGHT_MISSING, Grade.PARTLY
    if is_it(summed([w * w for w in weights])):
        yield Cause.WEIGHT_SQUARED, Grade.PARTLY
    if is_it(summed([float(str(FLOAT.numpy.type(w))) for w in weights])):
        yield Cause.COMMON_FACTOR, Grade.PARTLY
    if any(not term.first for term in terms) and is_it(sum(t.total * t.weight for t in terms if t.first)):
        yield Cause.SECOND_TOP, Grade.PARTLY
    if any(term.values.size > 1 for term in terms):
        if is_it(summed(weights, [float(term.values.ravel()[0]) for term in terms])):
            yield Cause.INNER_SIZE, Grade.PARTLY
        if is_it(summed(weights, [float(term.values.mean()) for term in terms])):
            yield Cause.INNER_SIZE, Grade.PARTLY
    if 1 < len(terms) <= _MOST_TERMS:
        if any(is_it(summed(list(other))) for other in permutations(weights)):
            yield Cause.WEIGHTS_ORDER, Grade.PARTLY
        some = (chosen for size in range(1, len(terms)) for chosen in combinations(terms, size))
        if any(is_it(sum(t.total * t.weight for t in chosen)) for chosen in some):
            yield Cause.TOTAL, Grade.PARTLY
    yield Cause.TOTAL, Grade.PATTERN


def _terms(rejection: Rejection) -> Iterator[_Term]:
    for node in rejection.net.layers:
        for i, (blob, weight) in enumerate(zip(rejection.net.tops_of(node), node.loss_weights, strict=True)):
            if weight != 0:
                yield _Term(np.asarray(blob.data.value, dtype=np.float64), weight, i == 0)


def weight_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What a top's diff holds where it should hold its loss_weight."""
    node, values = difference.node, np.unique(difference.got)
    if node is None or difference.blob not in node.tops:
        return
    if values.size != 1:
        yield Cause.STALE_BUFFER, Grade.PATTERN
        return
    held, index = float(values[0]), node.tops.index(difference.blob)
    declared = node.loss_weights[index]
    if rejection.case.top_diff.get(difference.blob) is not None and held == declared:
        yield Cause.STALE_BUFFER, Grade.PARTLY
    if held == 0 and (len(rejection.case.steps) > 2 or all(other.aspect != "total" for other in rejection.differences)):
        yield Cause.STALE_BUFFER, Grade.PARTLY  # a loss had its weight: it was lost later
    yield from _other_weight(node, index, held, float(np.unique(difference.want)[0]))


def reported_weight_clues(rejection: Rejection) -> Iterator[Clue]:
    """Weights that the answer itself says were others."""
    nodes = {node.name: node for node in rejection.net.layers}
    for layer in rejection.outcome.layers or ():
        node = nodes.get(layer.name)
        if node is None or layer.loss_weights is None or len(layer.loss_weights) != len(node.loss_weights):
            continue
        for i, (held, want) in enumerate(zip(layer.loss_weights, node.loss_weights, strict=True)):
            if held != want:
                yield from _other_weight(node, i, held, want)


def _other_weight(node: Node, index: int, held: float, want: float) -> Iterator[Clue]:
    """What may make a top's weight ``held`` where it is ``want``."""
    explicit = bool(node.layer.param.loss_weight)
    if not explicit or held == want + 1 or (want == 0 and held == 1):
        yield Cause.IMPLICIT_WEIGHT, Grade.PARTLY
    if explicit and held in {w for w in node.loss_weights if w != want}:
        yield Cause.WEIGHTS_ORDER, Grade.PARTLY
    if index > 0 and held == 0:
        yield Cause.SECOND_TOP, Grade.PARTLY
    if want < 0 and held in (0.0, -want):
        yield Cause.SIGN, Grade.PARTLY
    if held in (0.0, 1.0):
        yield Cause.WEIGHT_MISSING, Grade.PARTLY if held == 1.0 else Grade.PATTERN
    if held == want * want:
        yield Cause.WEIGHT_SQUARED, Grade.PARTLY
    if held != 0 and want != 0 and abs(held / want - 1) < 0.5:
        yield Cause.COMMON_FACTOR, Grade.PATTERN
