"""Bounds: how far a plain evaluation of a whole case may be from the reference, array by array.

For relations between runs: each may be off by its own bound, so that two differ by no more than the sum of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.judge.replay import replay
from conformance.judge.side import sides_of
from conformance.judge.tolerance import rounding_of
from refimpl.running_error import Approx

__all__ = ["Bounds", "bounds_of"]

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """Bounds on the net's loss, on blobs' data and diffs, and on the diffs of layers' parameters, element by element;
    where the reference has NaN or an infinity, they are 0."""

    loss: float
    data: Mapping[str, Errors]
    diff: Mapping[str, Errors]
    param_diff: Mapping[str, tuple[Errors, ...]]

    @property
    def finite(self) -> bool:
        """Whether every element can be judged."""
        arrays = [*self.data.values(), *self.diff.values(), *(a for some in self.param_diff.values() for a in some)]
        return bool(np.isfinite(self.loss)) and all(np.isfinite(array).all() for array in arrays)


def bounds_of(case: Case, dtype: str, dialect: str | None = None) -> Bounds:
    """The bounds after the last step, in the ``dialect`` asked for, else the documented one.

    Raises `NetError` where the reference refuses the case.
    """
    case = case.rounded(dtype)
    side = next(sides_of(case, dialect or "documented"))
    net, comparisons = replay(case, Outcome(dtype, 0.0), side.dialect(), rounding_of(dtype))
    totals: list[Approx] = [one.want for one in comparisons if one.aspect == "total"]
    return Bounds(
        loss=float(totals[-1].error) if totals else 0.0,
        data={name: blob.data.error for name, blob in net.blobs.items()},
        diff={name: blob.diff.error for name, blob in net.blobs.items()},
        param_diff={layer: tuple(blob.diff.error for blob in blobs) for layer, blobs in net.params.items()},
    )
