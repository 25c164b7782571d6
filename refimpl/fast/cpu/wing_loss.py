# mypy: disable-error-code="no-any-return, untyped-decorator"
"""WingLoss on a CPU (xialuxi/arcface-caffe@7cbe27c0 ``landmark_and_pose/wing_loss_layer.cpp``).

``L = sum f(x - t) / N``, f(d) = w ln(1 + |d| / e) where |d| < w and |d| - w + w ln(1 + w / e) elsewhere, e the
epsilon, N the first dimension; ``dL/dx = v f'(x - t) / N``, v the top's diff, f'(d) = sign(d) w / (|d| + e) where
|d| < w and sign(d) elsewhere; the sign of 0 is `sign_of_0`. t takes no gradient.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like, log_of_one_and

__all__ = ["FORMULA", "backward", "wing_loss"]


def _settings(w: float, epsilon: float, sign_of_0: float) -> tuple[float, float, float, float]:
    """w, epsilon, what the straight part is below |d|, and the sign of 0."""
    return float(w), float(epsilon), float(w - w * math.log1p(w / epsilon)), float(sign_of_0)


def _value(x: Any, t: Any, s: Any) -> Any:
    width, epsilon, below, _ = s
    size = abs(x - t)
    near, far = width * log_of_one_and(size / epsilon), size - below  # no branch, so that a loop is vectorised
    return near if size < width else far


def _slope(x: Any, t: Any, s: Any) -> Any:
    width, epsilon, _, at_zero = s
    difference, zero, one = x - t, like(x, 0), like(x, 1)
    size = abs(difference)
    sign = one if difference > zero else (-one if difference < zero else (at_zero if size == zero else difference))
    near = sign * width / (size + epsilon)
    return near if size < width else sign


FORMULA = Formula("wing_loss", _value, _slope, names=("x", "t"), outputs=("out",), settings=_settings)
_loss = pointwise(FORMULA, costly=True)


def wing_loss(
    x: NDArray[Any],
    t: NDArray[Any],
    *,
    w: float = 10.0,
    epsilon: float = 2.0,
    sign_of_0: float = -1.0,
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient for x, if there is an array to write it to.

    `x`, `t`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `w`, `epsilon`: positive numbers. `sign_of_0`: -1, or 0 as wqvbjhc/caffe-ssd@df6d9fdc has it.
    `out`: like x, sharing no memory with it; receives the gradient for the given `top_diff` (the top's diff, that is
    the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    return _loss(x, t, None, None, FORMULA.settings(w, epsilon, sign_of_0), top_diff, out, None, threads)


backward = gradient_alone(wing_loss)
