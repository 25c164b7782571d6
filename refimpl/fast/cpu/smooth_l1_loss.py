# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SmoothL1Loss on a CPU, in the meaning of synopsys-caffe@977ba36a ``src/caffe/layers/smooth_L1_loss_layer.cpp``.

``L = sum |v f(u (x - t))| / N``, f(d) = s d^2 / 2 where |d| < 1/s and |d| - 1/(2 s) elsewhere, s the square of sigma, N
the first dimension; ``dL/dx = w v f'(u (x - t)) / N = -dL/dt``, f'(d) = s d held between -1 and 1, 0 for NaN. Without
`abssum` there is no absolute value, and the gradient has the factor u.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from refimpl.dtypes import FLOAT
from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like

__all__ = ["FORMULA", "backward", "smooth_l1_loss"]


def _settings(sigma: float, abssum: bool) -> tuple[float, float, float]:
    """s, as float32 arithmetic has it, where the parabola ends, and 1 for the sum of absolute values."""
    squared = float(FLOAT.rounded(sigma * sigma))
    return squared, 1 / squared if squared else math.inf, float(abssum)


def _value(x: Any, t: Any, u: Any, v: Any, s: Any) -> Any:
    squared, knee, absolute = s
    half, difference = like(x, 0.5), u * (x - t)
    size = abs(difference)
    each = v * (half * difference * difference * squared if size < knee else size - half * knee)
    return abs(each) if absolute > like(x, 0) else each


def _slope(x: Any, t: Any, u: Any, v: Any, s: Any) -> Any:
    squared, _, absolute = s
    zero, one = like(x, 0), like(x, 1)
    steep = squared * (u * (x - t))
    slope = one if steep >= one else (-one if steep <= -one else (steep if steep == steep else zero))
    return v * (slope if absolute > zero else slope * u)


FORMULA = Formula(
    "smooth_l1_loss", _value, _slope, names=("x", "t", "u", "v"), outputs=("out_a", "out_b"), settings=_settings
)
_loss = pointwise(FORMULA)


def smooth_l1_loss(
    x: NDArray[Any],
    t: NDArray[Any],
    u: NDArray[Any] | None = None,
    v: NDArray[Any] | None = None,
    *,
    sigma: float = 1.0,
    abssum: bool = True,
    top_diff: float = 1.0,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradients for x and for t, where there are arrays to write them to.

    `x`, `t`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `u`, `v`: inside and outside weights, one for every entry of x and of its type; absent ones
    are 1. `out_a`, `out_b`: like x and t, sharing no memory with them; receive the gradients for the given `top_diff`
    (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    return _loss(x, t, u, v, FORMULA.settings(sigma, abssum), top_diff, out_a, out_b, threads)


backward = gradient_alone(smooth_l1_loss)
