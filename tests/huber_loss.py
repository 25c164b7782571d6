"""A loss that is nobody's: this file is all that its kernels for both targets take."""

from __future__ import annotations

from typing import Any

from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like

__all__ = ["FORMULA", "backward", "huber_loss"]


def _huber(x: Any, t: Any, s: Any) -> Any:
    size = abs(x - t)
    return like(x, 0.5) * size * size if size < s[0] else s[0] * (size - like(x, 0.5) * s[0])


def _huber_slope(x: Any, t: Any, s: Any) -> Any:
    difference = x - t
    return difference if abs(difference) < s[0] else (s[0] if difference > like(x, 0) else -s[0])


FORMULA = Formula("huber_loss", _huber, _huber_slope, ("x", "t"), ("out",), settings=lambda delta: (float(delta),))
_loss = pointwise(FORMULA)


def huber_loss(
    x: Any, t: Any, *, delta: float = 1.0, top_diff: float = 1.0, out: Any = None, threads: int | None = None
) -> float:
    """d^2 / 2 where |d| < delta, and beyond straight on."""
    return _loss(x, t, None, None, FORMULA.settings(delta), top_diff, out, None, threads)


backward = gradient_alone(huber_loss)
