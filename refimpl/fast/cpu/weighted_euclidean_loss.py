# mypy: disable-error-code="no-any-return, untyped-decorator"
"""EuclideanLoss with weights on a CPU (happynear/caffe-windows@967eedf2, MSRCCS/Caffe@2eb05997
``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (u (x - z))^2 / (2 N)``, or without `weight_squared` ``sum u (x - z)^2 / (2 N)``, N the first dimension;
``dL/dx = w u (x - z) / N = -dL/dz`` either way.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like

__all__ = ["FORMULA", "backward", "weighted_euclidean_loss"]


def _settings(weight_squared: bool) -> tuple[float]:
    return (float(weight_squared),)


def _value(x: Any, z: Any, u: Any, s: Any) -> Any:
    difference = x - z
    weighted = difference * u
    return weighted * (weighted if s[0] > like(x, 0) else difference)


def _slope(x: Any, z: Any, u: Any, s: Any) -> Any:
    return (x - z) * u


FORMULA = Formula(
    "weighted_euclidean_loss",
    _value,
    _slope,
    names=("x", "z", "u"),
    outputs=("out_a", "out_b"),
    settings=_settings,
    parts=2,
)
_loss = pointwise(FORMULA)


def weighted_euclidean_loss(
    x: NDArray[Any],
    z: NDArray[Any],
    u: NDArray[Any] | None = None,
    *,
    weight_squared: bool = True,
    top_diff: float = 1.0,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradients for x and for z, where there are arrays to write them to.

    `x`, `z`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `u`: weights, one for every entry of x and of its type; absent ones are 1. `out_a`, `out_b`:
    like x and z, sharing no memory with them; receive the gradients for the given `top_diff` (the top's diff, that is
    the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    return _loss(x, z, u, None, FORMULA.settings(weight_squared), top_diff, out_a, out_b, threads)


backward = gradient_alone(weighted_euclidean_loss)
