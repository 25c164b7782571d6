"""Every number of tolerance, on one page.

Bounds are not chosen: they are the first-order running error of a plain evaluation (`refimpl.running_error`) of each layer at
the inputs the implementation had. What is chosen is how many roundings an operation is charged.
"""

from __future__ import annotations

import numpy as np

from refimpl.running_error import Rounding

__all__ = ["FACTOR", "UNIT", "rounding_of"]

FACTOR = 2.0
"""Roundings charged per operation: correctly rounded operations need 1, exp and log of common libraries up to 2."""

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
"""Unit roundoff of each storage type."""

REFERENCE_UNIT = UNIT["float64"]
"""The reference's own roundings, added to the implementation's: they matter only where that is float64 too."""


def rounding_of(dtype: str, *, subgradient: bool = False, unlimited: bool = False) -> Rounding:
    """The arithmetic of ``dtype``, "float32" or "float64".

    With ``subgradient``, any value between the one-sided limits is right at a kink; with ``unlimited``, intermediate results
    do not overflow (an implementation may carry more range than its storage has).
    """
    info = np.finfo(dtype)
    return Rounding(
        unit=UNIT[dtype] + REFERENCE_UNIT,
        tiny=float(info.smallest_normal),
        huge=np.inf if unlimited else float(info.max),
        factor=FACTOR,
        subgradient=subgradient,
    )
