"""Values: the extreme numbers that several losses are tried on, and what is common to losses of a softmax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.losses.options import Options

__all__ = ["FORMULA", "Rows", "HUGE_WEIGHT", "INF", "NAN", "SUBNORMAL", "exact", "extreme_logits", "halves"]

FORMULA = ("forward", "backward")
HUGE_WEIGHT = 3e38
SUBNORMAL = 1e-40
NAN, INF = np.nan, np.inf

Rows = Sequence[Sequence[float]]


def exact(rows: Any) -> Array:
    """Numbers that every type under test but the halves holds, so that each is fed the same."""
    return FLOAT.rounded(rows)


def extreme_logits(floor: float) -> Iterator[tuple[str, tuple[str, ...], Array, Array, Options]]:
    """Name, facets, scores, labels and options; ``floor`` is minus the logarithm of the smallest probability."""
    for name, facets, x, y in _extreme(floor):
        yield name, facets, exact(x), exact(y), {}
    ignored: Rows = [[NAN, 1, 2], [1, 2, 3], [INF, 1, 2]]
    ignoring: Options = {"loss_param.ignore_label": 9}
    yield "nan-ignored", ("nonfinite", "ignore-label"), exact(ignored), exact([9, 0, 9]), ignoring


def _extreme(floor: float) -> Iterator[tuple[str, tuple[str, ...], Rows, Sequence[float]]]:
    yield "equal", FORMULA, [[0.75] * 5] * 3, [0, 2, 4]
    yield "last-class", FORMULA, [[1, 2, 3], [0.5, -1, 0.25], [3, 0, 0]], [2, 2, 2]
    yield "one-class", ("single-class", *FORMULA), [[0.5], [1e4], [-1e4]], [0, 0, 0]
    yield "subnormal", FORMULA, [[SUBNORMAL, 0, -SUBNORMAL], [-0.0, 0, 1e-42]], [0, 2]
    yield "huge", ("saturation", "log-floor"), [[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4, -1e4, 1 - 1e4]], [0, 2, 1]
    apart: Rows = [[1e4, 1e4 + 1.5, 1e4 - 0.25], [-1e4, 0.5 - 1e4, -1e4], [3, 1, 2], [3e4, 3e4 - 4, 3e4]]
    yield "rows-far-apart", ("saturation", *FORMULA), apart, [0, 1, 2, 1]
    yield "nearly-certain", ("saturation",), [[0, -10], [0, -17], [0, -30], [0, -60], [-100, 0]], [0, 0, 0, 0, 1]
    beside: Rows = [[0, -(floor - 0.25)], [0, -(floor + 0.25)], [0, -(floor + 15)], [0, -1000], [0, -(floor - 15)]]
    yield "floor", ("log-floor",), beside, [1, 1, 1, 1, 1]
    yield "nan", ("nonfinite",), [[1, 2, 3], [NAN, 1, 2], [3, NAN, 0], [0.5, -1, 0.25]], [0, 2, 1, 2]
    infinite: Rows = [[1, 2, 3], [INF, 1, 2], [3, INF, 0], [INF, 0, INF], [-INF, -INF, -INF], [0.5, -1, 0.25]]
    yield "infinite", ("nonfinite",), infinite, [0, 2, 1, 0, 1, 2]
    yield "minus-infinite", ("nonfinite", "log-floor"), [[1, -INF, 3], [-INF, 1, 2], [0.5, -INF, -INF]], [0, 0, 0]


def halves(terms: int) -> tuple[Array, Array]:
    """Equal scores of two classes at as many positions as a square image has, and their labels."""
    side = int(terms**0.5)
    return np.zeros((1, 2, side, side)), np.zeros((1, side, side))
