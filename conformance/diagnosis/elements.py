"""Elements: which ones of an array are wrong, and what there is at those places."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.rejection import Rejection
from conformance.diagnosis.sizes import Sizes
from conformance.losses import loss_of_layer
from conformance.losses.roles import Probabilities, Targets
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.arithmetic import value_of

__all__ = ["element_clues", "is_rearranged", "shape_clues"]

LOW = 1e-6
"""Probabilities below this are where the floors of logarithms that are in use differ."""

_SATURATED = 14.0
"""A score whose sigmoid is within `LOW` of 0 or 1."""

_LARGE = 30.0
"""A score whose exponential is large enough to think of overflow."""


_MANY = 8
"""Elements that are not all off by no more than float32 rounds unless something is rounded to it."""

_BEYOND_SMALL = 256
"""Entries that a small case does not have; no block of threads is smaller."""


def element_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What the places of the wrong elements point to."""
    got, want = difference.got, difference.want
    if not np.isfinite(got[difference.rejected]).all() or not np.isfinite(want[difference.rejected]).all():
        yield from _special(rejection, difference)
        return
    if got.size > 1:
        yield from shape_clues(difference)
        if (got * want < 0)[difference.rejected].all() and difference.is_explained_by(np.abs(want) * np.sign(got)):
            yield Cause.SIGN, Grade.PARTLY
        if _mostly_rounding(difference):
            yield Cause.FLOAT32, Grade.EXACT if difference.rejected.sum() >= _MANY else Grade.PARTLY
    yield from _ignored(rejection, difference)
    if not np.any(got) and difference.aspect in ("backward", "parameter"):
        yield Cause.GRADIENT_MISSING, Grade.EXACT
        if difference.aspect == "backward" and got.shape[:1] == (1,):
            yield Cause.LAST_SAMPLE, Grade.PARTLY
    yield from _floors(rejection, difference)
    yield from _margins(rejection, difference)


def _special(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    given = [*rejection.case.inputs.values(), *(array for some in rejection.case.params.values() for array in some)]
    if not all(np.isfinite(array).all() for array in given) or not np.isfinite(difference.want).all():
        yield Cause.SPECIAL_VALUES, Grade.PATTERN
        return
    if any(value != value for value in rejection.case.prefill_diff.values()):
        yield Cause.ACCUMULATES, Grade.PATTERN
    sizes = Sizes.of(rejection.net, difference.node)
    if sizes is not None and sizes.mode == "VALID" and not sizes.counted.any():
        yield Cause.SPECIAL_VALUES, Grade.PATTERN
        return
    infinite = bool(np.isinf(difference.got[difference.rejected]).all())
    if infinite and _lowest_probability(rejection, difference) < LOW:
        yield Cause.LOG_FLOOR, Grade.PATTERN
    largest = max((float(np.abs(a).max(initial=0.0)) for a in given), default=0.0)
    yield Cause.OVERFLOW if largest > _LARGE else Cause.SPECIAL_VALUES, Grade.PATTERN


def shape_clues(difference: Difference) -> Iterator[Clue]:
    """What the places of the wrong elements of one array point to."""
    got, want, rejected = difference.got, difference.want, difference.rejected
    wrong = int(rejected.sum())
    if rejected.ndim and rejected.shape[0] > 1 and not rejected[:-1].any():
        lost = not np.any(got[-1])
        yield Cause.LAST_SAMPLE, Grade.EXACT if lost and np.count_nonzero(want[-1]) > 1 else Grade.PATTERN
    if np.flatnonzero(rejected)[0] >= _BEYOND_SMALL:
        yield Cause.AT_SCALE, Grade.PATTERN
    if wrong == 1 and np.count_nonzero(want) > 1:
        yield Cause.ONE_ELEMENT, Grade.PATTERN
    if wrong > 1 and is_rearranged(difference):
        yield Cause.TRANSPOSED, Grade.EXACT
    if not np.any(got[rejected]) and wrong > 1:
        yield Cause.GRADIENT_MISSING, Grade.HINT
    if not np.any(want[rejected]):
        yield Cause.STALE_BUFFER, Grade.HINT


def is_rearranged(difference: Difference) -> bool:
    """Whether the right numbers stand at transposed places."""
    return any(difference.is_explained_by(other) for other in _rearranged(difference.want))


def _rearranged(want: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """The same numbers written in another order of the axes."""
    shapes = {want.shape, (want.shape[0], want.size // want.shape[0])} if want.ndim and want.shape[0] else set()
    for shape in shapes:
        for order in permutations(range(len(shape))) if 1 < len(shape) < 5 else ():
            turned = want.reshape(shape).transpose(order).reshape(want.shape)
            if not np.array_equal(turned, want, equal_nan=True):
                yield turned


def _ignored(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    sizes = Sizes.of(rejection.net, difference.node)
    if sizes is None or sizes.counted.all():
        return
    if difference.aspect == "forward":
        yield Cause.IGNORED_LABEL, Grade.HINT
    if sizes.counted.shape != difference.got.shape:
        return
    if not difference.rejected[sizes.counted].any():
        held = rejection.case.prefill_diff.get(difference.blob)
        left = held is not None and held != 0 and bool((difference.got[difference.rejected] == held).all())
        yield (Cause.STALE_BUFFER, Grade.EXACT) if left else (Cause.IGNORED_LABEL, Grade.PATTERN)
        if _fractional(rejection, difference)[difference.rejected].all():
            yield Cause.TRUNCATION, Grade.PATTERN


def _fractional(rejection: Rejection, difference: Difference) -> NDArray[np.bool_]:
    """Where the label or target of an element of the first bottom is no whole number."""
    node = difference.node
    bottoms = rejection.net.bottoms_of(node) if node is not None else []
    if node is None or len(bottoms) < 2:
        return np.zeros(difference.got.shape, bool)
    labels = np.asarray(value_of(bottoms[1].data), dtype=np.float64)
    fractional: NDArray[np.bool_] = np.nan_to_num(labels) % 1 != 0
    if hasattr(node.layer, "along_classes"):
        fractional = node.layer.along_classes(fractional.reshape(node.layer.positions))  # type: ignore[attr-defined]
        return np.array(np.broadcast_to(fractional, difference.got.shape))
    return fractional.reshape(difference.got.shape)


def _mostly_rounding(difference: Difference) -> bool:
    """Whether numbers of a wider type are off by what float32 rounds, in several places and by no common factor."""
    if TypeClaim.named(difference.dtype).computed.significand <= FLOAT.significand:
        return False
    with np.errstate(all="ignore"):
        off = np.abs(difference.got - difference.want)
        scale = np.maximum(np.abs(difference.want), np.abs(difference.want).max(initial=0.0) * 2.0**-10)
    return bool((off[difference.rejected] <= 2.0**-20 * scale[difference.rejected]).all())


def _probabilities(rejection: Rejection, difference: Difference) -> NDArray[np.float64] | None:
    """The probabilities whose logarithms the layer takes, in the shape of its first bottom."""
    node = difference.node
    bottoms = rejection.net.bottoms_of(node) if node is not None else []
    if node is None or not bottoms:
        return None
    x = np.asarray(value_of(bottoms[0].data), dtype=np.float64)
    loss = loss_of_layer(node.layer)
    if loss is not None and isinstance(loss.bottoms[0].role, Probabilities):
        return x
    if hasattr(node.layer, "probability"):
        return np.asarray(value_of(node.layer.probability.data), dtype=np.float64)
    return None


def _lowest_probability(rejection: Rejection, difference: Difference) -> float:
    p = _probabilities(rejection, difference)
    return float(np.nanmin(p)) if p is not None and p.size else 1.0


def _floors(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """Whether there is a probability, or a sigmoid, where the floors of logarithms matter."""
    p = _probabilities(rejection, difference)
    node = difference.node
    if p is not None and p.size and np.nanmin(p) < LOW:
        low = np.broadcast_to((p < LOW).any(axis=1, keepdims=True), p.shape) if p.ndim > 1 else p < LOW
        if difference.got.shape != p.shape or not difference.rejected[~low].any():
            yield Cause.LOG_FLOOR, Grade.PATTERN
    elif node is not None and difference.aspect == "forward":
        loss = loss_of_layer(node.layer)
        if loss is None or loss.bottom(Targets) is None:
            return
        x = value_of(rejection.net.bottoms_of(node)[0].data)
        if np.abs(x).max(initial=0.0) > _SATURATED:
            yield Cause.LOG_FLOOR, Grade.PATTERN


def _margins(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """Whether what is wrong is which elements are within the margin."""
    node = difference.node
    loss = loss_of_layer(node.layer) if node is not None else None
    if loss is None or "margin" not in loss.traits:
        return
    got, want, rejected = difference.got, difference.want, difference.rejected
    if difference.aspect == "backward" and ((got == 0) != (want == 0))[rejected].all():
        yield Cause.MARGIN, Grade.PATTERN
    elif difference.aspect in ("forward", "backward"):
        yield Cause.MARGIN, Grade.HINT
