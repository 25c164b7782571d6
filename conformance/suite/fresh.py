"""Fresh: a case as a session asks for it: on labels that its types hold, and where it says so with other values of the
same kind, so that its answer cannot be remembered.

Every number is moved by up to 2^-6 of itself, as a seed says, and the same number everywhere by the same: so what was
equal stays equal, what was the opposite stays the opposite, and signs and magnitudes stay. Left alone are labels and
boxes, whole numbers that are no scores (bits, identities), what is not finite, and magnitudes outside of `MOVED`, which
stand beside a floor or an overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Array, Case, Pass
from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.contract.session import Session
from conformance.losses import Variant, loss_of_type
from conformance.losses.roles import Probabilities, Role, Scores
from refimpl.errors import NetError
from refimpl.prototxt import parse_net

__all__ = ["MOVED", "asked", "renewed", "renewed_values"]

MOVED = (2.0**-20, 32.0)
"""The magnitudes that are moved, from and to."""

SHARE = 2.0**-6

_GOLDEN, _ODD, _ODDER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The constants of splitmix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014)."""


def asked(case: Case, session: Session) -> Case:
    """The case as it is put to a session's implementation.

    A label that the type of its blob does not hold would be rounded to another, perhaps to one that is no class; so it
    is the next one nearer to zero, which is a class where the label was.
    """
    fresh, held = renewed(case, session.fresh), TypeClaim.named(session.dtype).scores
    if held.integers >= FLOAT.integers:
        return fresh
    labels = {name for name, role in _roles(fresh) if role.integers}
    return _with(fresh, lambda name, array: held.truncated(array) if name in labels else array)


def renewed(case: Case, seed: int) -> Case:
    """The case with its values drawn anew from a seed; 0: as it is."""
    if not seed:
        return case
    read_as = dict(_roles(case))
    return _with(case, lambda name, array: _moved(array, seed, read_as.get(name)))


def _with(case: Case, change: Callable[[str, Array], Array]) -> Case:
    """The case with every array that it gives changed, which is told of its name."""

    def inputs(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: change(name, array) for name, array in arrays.items()}

    def params(layers: Mapping[str, tuple[Array, ...]]) -> dict[str, tuple[Array, ...]]:
        return {name: tuple(change(name, array) for array in arrays) for name, arrays in layers.items()}

    def later(one: Pass) -> Pass:
        return replace(one, inputs=inputs(one.inputs), params=params(one.params))

    passes = tuple(later(one) for one in case.passes)
    return replace(case, inputs=inputs(case.inputs), params=params(case.params), passes=passes)


def renewed_values(variant: Variant, values: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """A variant's values drawn anew, for what is made of them before it is a case; 0: as they are."""
    roles = {bottom.name: bottom.role for bottom in variant.loss.bottoms}
    return {name: _moved(array, seed, roles.get(name)) if seed else array for name, array in values.items()}


def _roles(case: Case) -> Iterator[tuple[str, Role]]:
    """What losses read the blobs as."""
    try:
        layers = parse_net(case.net).layer
    except NetError:
        return
    for layer in layers:
        loss = loss_of_type(layer.type, case.forms)
        for bottom, name in zip(loss.bottoms if loss else (), layer.bottom, strict=False):
            yield name, bottom.role


def _moved(array: Array, seed: int, role: Role | None) -> Array:
    if role is not None and (role.integers or role.fixed):
        return array
    values = np.asarray(array, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (values == np.trunc(values))
        size = np.absolute(values)
        moving = (size >= MOVED[0]) & (size <= MOVED[1])
    if whole.all() and not isinstance(role, (Scores, Probabilities)):
        return array
    factor = 1.0 + SHARE * (2.0 * _drawn(size, seed) - 1.0)
    return np.where(moving, FLOAT.rounded(np.where(moving, values * factor, 0.0)), values)


def _drawn(sizes: Array, seed: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each number, the same for the same one."""
    with np.errstate(over="ignore"):
        bits = np.asarray(sizes, dtype=np.float64, order="C").view(np.uint64) + _GOLDEN * np.uint64(seed)
        bits = (bits ^ (bits >> np.uint64(30))) * _ODD
        bits = (bits ^ (bits >> np.uint64(27))) * _ODDER
        bits = (bits ^ (bits >> np.uint64(31))) >> np.uint64(11)
    return np.asarray(bits * 2.0**-53, dtype=np.float64)
