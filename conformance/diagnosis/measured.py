"""Measured: what a gradient points to that is held against slopes of the reported loss, where no formula is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.contract.case import Case, array_from_json
from conformance.diagnosis.clues import Clues
from conformance.diagnosis.diagnosis import SAME_FACTOR
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.elements import shape_clues
from conformance.record.cause import Cause
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

_ANY_FACTOR = 0.7
"""How well a common factor explains what no count or weight does."""


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
    causes: dict[Cause, float] = {}
    for difference in wrong:
        for cause, certainty in _clues(difference, weight):
            causes[cause] = max(certainty, causes.get(cause, 0.0))
    if len(differences) > 1 and len(wrong) == 1:
        causes[Cause.ONE_BOTTOM] = 0.5
    factors = [difference.ratio() for difference in wrong]
    first = factors[0] if factors else None
    shared = first is not None and all(f is not None and abs(f / first - 1) < SAME_FACTOR for f in factors)
    ordered = sorted((causes or {Cause.UNNAMEABLE: 0.2}).items(), key=lambda item: -item[1])
    return Clues(dict(ordered), first if shared else None)


def _clues(difference: Difference, weight: float) -> Iterator[tuple[Cause, float]]:
    got, rejected = difference.got, difference.rejected
    if not np.isfinite(got[rejected]).all():
        yield Cause.SPECIAL_VALUES, 0.8
        return
    if not np.any(got):
        yield Cause.GRADIENT_MISSING, 1.0
        return
    if got.size > 1:
        yield from shape_clues(difference)
    if difference.ratio() is None:
        return
    named = False
    for cause, factor, certainty in _factors(difference, weight):
        if factor != 1 and difference.is_explained_by(factor * difference.want):
            named = True
            yield cause, certainty
    if not named:
        yield Cause.COMMON_FACTOR, _ANY_FACTOR


def _factors(difference: Difference, weight: float) -> Iterator[tuple[Cause, float, float]]:
    yield Cause.SIGN, -1.0, 1.0
    for factor in (2.0, 0.5):
        yield Cause.FACTOR_2, factor, 1.0
    yield Cause.WEIGHT_MISSING, 1 / weight, 1.0
    yield Cause.WEIGHT_SQUARED, weight, 1.0
    shape = difference.got.shape
    for cause, count in ((Cause.BATCH_RATIO, shape[0] if shape else 1), (Cause.INNER_SIZE, int(np.prod(shape[1:])))):
        for factor in (float(count), 1.0 / count):
            yield cause, factor, 0.95
