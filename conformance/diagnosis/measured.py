"""Measured: what a gradient points to that is held against slopes of the reported loss, where no formula is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.contract.case import Case, array_from_json
from conformance.diagnosis.clues import Clues, ranked
from conformance.diagnosis.diagnosis import is_same_factor
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.elements import shape_clues
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.prototxt import parse_net

__all__ = ["NO_FORMULA", "SLOPES", "differences_of", "has_formula", "measured_clues"]

NO_FORMULA = "none is known for this layer: what is compared are answers of its own"
SLOPES = (
    "none is known for this layer: a gradient is the slope of the loss that the layer itself reports.\n"
    '"got" is the gradient reported, "want" the slope measured by differences of that loss.'
)
"""What stands in a formula's place."""


def has_formula(case: Case) -> bool:
    """Whether the reference knows every layer of a case's net, so that it has something to say of it."""
    try:
        layers = parse_net(case.net).layer
    except NetError:
        return True
    return all(layer.type in REGISTRY for layer in layers)


def differences_of(slopes: Mapping[str, Mapping[str, Any]], dtype: str) -> list[Difference]:
    """The gradients in a verdict's detail, as differences: what is wanted is the slope of the reported loss."""
    found = []
    for name, told in slopes.items():
        got, want, bound = (
            np.asarray(array_from_json({"shape": told["shape"], "data": told[part]}), np.float64)
            for part in ("reported", "measured", "bound")
        )
        with np.errstate(invalid="ignore"):
            rejected = np.asarray(~(np.abs(got - want) <= bound))
        found.append(Difference("slope", name, None, got, want, bound, rejected, dtype))
    return found


def measured_clues(differences: Sequence[Difference], weight: float) -> Clues:
    """What would explain the gradients; ``weight`` is that of the loss."""
    wrong = [difference for difference in differences if difference.rejected.any()]
    clues = [clue for difference in wrong for clue in _clues(difference, weight)]
    if len(differences) > 1 and len(wrong) == 1:
        clues.append((Cause.ONE_BOTTOM, Grade.PATTERN))
    factors = [difference.ratio() for difference in wrong]
    first = factors[0] if factors else None
    shared = first is not None and all(f is not None and is_same_factor(f, first) for f in factors)
    return Clues(ranked(clues), factor=first if shared else None)


def _clues(difference: Difference, weight: float) -> Iterator[Clue]:
    got, rejected = difference.got, difference.rejected
    if not np.isfinite(got[rejected]).all():
        yield Cause.SPECIAL_VALUES, Grade.PATTERN
        return
    if not np.any(got):
        yield Cause.GRADIENT_MISSING, Grade.EXACT
        return
    if got.size > 1:
        yield from shape_clues(difference)
    if difference.ratio() is None:
        return
    named = False
    for cause, factor in _factors(difference, weight):
        if factor != 1 and difference.is_explained_by(factor * difference.want):
            named = True
            yield cause, difference.grade
    if not named:
        yield Cause.COMMON_FACTOR, Grade.PATTERN if difference.grade is Grade.EXACT else Grade.HINT


def _factors(difference: Difference, weight: float) -> Iterator[tuple[Cause, float]]:
    yield Cause.SIGN, -1.0
    for factor in (2.0, 0.5):
        yield Cause.FACTOR_2, factor
    yield Cause.WEIGHT_MISSING, 1 / weight
    yield Cause.WEIGHT_SQUARED, weight
    shape = difference.got.shape
    for cause, count in ((Cause.BATCH_RATIO, shape[0] if shape else 1), (Cause.INNER_SIZE, int(np.prod(shape[1:])))):
        for factor in (float(count), 1.0 / count):
            yield cause, factor
