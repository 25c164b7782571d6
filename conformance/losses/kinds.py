"""Kinds: for each role a handful of kinds of values, by name; the ordinary one, which is the role's own, comes first.

A grid hides what full mantissas show, and small numbers what large ones do: so a role has both, and what is near a
boundary of its own. Every kind is exact in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.losses.roles import (
    Identities,
    Labels,
    Marks,
    Matrix,
    NearestLabels,
    Probabilities,
    Role,
    Scores,
    Shape,
    Similarity,
    Targets,
)

__all__ = ["ORDINARY", "Draw", "beside", "depends", "kinds_of"]

ORDINARY = "ordinary"
"""The kind that a role draws itself."""

Draw = Callable[[np.random.Generator, Shape, int], Array]
"""Draws a bottom's values, from its shape and the number of classes."""


def _uniform(low: float, high: float) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return FLOAT.rounded(low + (high - low) * rng.random(shape))

    return draw


def _spread(lowest: float, highest: float, signed: bool = True) -> Draw:
    """Magnitudes from 2^lowest to 2^highest, every power of two as likely as any other."""

    def draw(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        magnitudes = 2.0 ** (lowest + (highest - lowest) * rng.random(shape))
        return FLOAT.rounded(magnitudes * np.where(signed & (rng.random(shape) < 0.5), -1.0, 1.0))

    return draw


def _far_from_origin(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    return FLOAT.rounded(1000.0 + 4 * rng.random(shape))


def _among(*values: float) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        return np.asarray(np.take(values, rng.integers(0, len(values), shape)), dtype=np.float64)

    return draw


def _labels(pick: Callable[[np.random.Generator, int, int], NDArray[Any]]) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
        size = int(np.prod(shape))
        return np.asarray(pick(rng, size, classes), dtype=np.float64).reshape(shape)

    return draw


def _ends(rng: np.random.Generator, size: int, classes: int) -> Array:
    return np.where(rng.random(size) < 0.5, 0.0, classes - 1.0)


def _low(rng: np.random.Generator, size: int, classes: int) -> Array:
    """Classes that are the opposites of what an ignore_label below 0 is."""
    return np.asarray(np.take([1.0, 7.0, 2.0, 0.0], rng.integers(0, 4, size)) % classes, dtype=np.float64)


def _fractional(rng: np.random.Generator, size: int, classes: int) -> Array:
    """Fractions that float32 holds beside any class there is, and that rounding takes for another class."""
    return np.asarray(rng.integers(0, classes, size) + rng.integers(1, 8, size) / 8)


def _rows_of_zero(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    matrix = rng.integers(-16, 48, shape) / 16.0
    matrix[..., rng.random(shape[-2]) < 0.5, :] = 0.0
    return matrix


def _identity(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    return np.array(np.broadcast_to(np.eye(shape[-1]), shape), dtype=np.float64)


def _nearly_stochastic(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    """Rows that sum to 1 but for a hundredth or less, as counted confusions that were rounded do."""
    likely = 0.75 * np.eye(shape[-1]) + 0.25 * rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    off = 1 + rng.uniform(-1, 1, (*shape[:-1], 1)) * 2.0**-7
    return FLOAT.rounded(likely * off)


_LABELS: Mapping[str, Draw] = {
    "last": _labels(lambda rng, size, classes: np.full(size, classes - 1.0)),
    "ends": _labels(_ends),
    "upper-half": _labels(lambda rng, size, classes: rng.integers(classes // 2, classes, size)),
    "fractional": _labels(_fractional),
    "low": _labels(_low),
    "minus-zero": _labels(lambda rng, size, classes: np.resize([-0.0, classes - 1.0, -0.75], size)),
}

_KINDS: Mapping[type[Role], Mapping[str, Draw]] = {
    Scores: {
        "mantissas": _uniform(-4, 4),
        "tens": _uniform(-40, 40),
        "tiny": _uniform(-(2.0**-20), 2.0**-20),
        "huge": _uniform(-(2.0**20), 2.0**20),
        "spread": _spread(-20, 20),
        "offset": _far_from_origin,
    },
    Probabilities: {
        "mantissas": _uniform(0, 1),
        "tiny": _spread(-42, -38, signed=False),
        "spread": _spread(-60, 0, signed=False),
        "near-one": _uniform(1 - 2.0**-12, 1),
        "beyond-one": _spread(0, 20, signed=False),
    },
    Marks: {
        "bits": _among(0.0, 1.0),
        "all": _among(1.0),
        "none-of-them": _among(0.0),
        "many-others": _among(0.0, 1.0, 0.5, 2.0, -1.0, 255.0, 2.0**-8),
        "minus-zero": _among(-0.0, 0.0, 1.0),
    },
    Targets: {
        "bits": _among(0.0, 1.0),
        "mantissas": _uniform(0, 1),
        "near-bits": _among(2.0**-40, 1 - 2.0**-20, 2.0**-20, 1 - 2.0**-12),
        "beyond-one": _uniform(-8, 8),
        "minus-zero": _among(-0.0, -0.75, 1.0),
    },
    NearestLabels: {
        **_LABELS,
        "fractional": _labels(
            lambda rng, size, classes: rng.integers(0, classes, size) + rng.integers(-3, 4, size) / 8
        ),
        "minus-zero": _labels(lambda rng, size, classes: np.resize([-0.0, classes - 1.0, -0.25], size)),
    },
    Labels: _LABELS,
    Similarity: {
        "alike": _among(1.0),
        "unlike": _among(0.0),
        "beyond-one": _among(256.0, 0.0, -1.0, 65536.0, 2.0),
        "fractional": _among(0.75, 0.0, 1.5, -0.75, -1.5),
        "minus-zero": _among(-0.0, 1.0),
    },
    Identities: {
        "one": _among(5.0),
        "two": _among(0.0, 1.0),
        "apart-by-256": _among(256.0, 0.0, 65536.0, -256.0),
        "fractional": _among(0.75, 0.0, 1.5, -0.75, 1.0),
        "minus-zero": _among(-0.0, 0.0, 1.0),
    },
    Matrix: {
        "mantissas": _uniform(-1, 3),
        "beyond-four": _uniform(-40, 40),
        "spread": _spread(-20, 10),
        "identity": _identity,
        "rows-of-zero": _rows_of_zero,
        "nearly-stochastic": _nearly_stochastic,
    },
}


_BESIDE: Mapping[str, Callable[[np.random.Generator, Array], Array]] = {
    "close": lambda rng, x: x * (1 + rng.integers(-64, 65, x.shape) * 2.0**-16),
    "apart-by-little": lambda rng, x: x + 0.25 * (rng.random(x.shape) - 0.5),
    "equal": lambda rng, x: x,
    "opposite": lambda rng, x: -x,
}
"""Scores that speak of other scores: what they are, given those."""


def kinds_of(role: Role) -> Mapping[str, Draw]:
    """The role's kinds, the ordinary one first; a role that nobody has listed has that one alone.

    Those that depend on another bottom (`depends`) have no values of their own: `beside` makes them.
    """
    listed = next((kinds for kind, kinds in _KINDS.items() if isinstance(role, kind)), {})
    pairs = dict.fromkeys(_BESIDE, role.draw) if isinstance(role, Scores) and role.of else {}
    return {ORDINARY: role.draw, **listed, **pairs}


def depends(kind: str) -> bool:
    """Whether values of the kind are made of another bottom's."""
    return kind in _BESIDE


def beside(kind: str, rng: np.random.Generator, x: Array) -> Array:
    """The values of a kind that depends on another bottom's, ``x``."""
    return FLOAT.rounded(_BESIDE[kind](rng, x))
