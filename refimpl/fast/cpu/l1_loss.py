# mypy: disable-error-code="no-any-return, untyped-decorator"
"""L1Loss on a CPU, in NVIDIA's meaning (NVIDIA/caffe@87a25543 ``src/caffe/layers/l1_loss_layer.cpp``).

``L = sum |x - z| / N``, N the first dimension; ``dL/dx = w sign(x - z) / N = -dL/dz``. The sign of 0 and of NaN is 0.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like

__all__ = ["FORMULA", "backward", "l1_loss"]


def _value(x: Any, z: Any, s: Any) -> Any:
    return abs(x - z)


def _slope(x: Any, z: Any, s: Any) -> Any:
    one, zero, difference = like(x, 1), like(x, 0), x - z
    return one if difference > zero else (-one if difference < zero else zero)


FORMULA = Formula("l1_loss", _value, _slope, names=("x", "z"), outputs=("out_a", "out_b"))
_loss = pointwise(FORMULA)


def l1_loss(
    x: NDArray[Any],
    z: NDArray[Any],
    *,
    top_diff: float = 1.0,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradients for x and for z, where there are arrays to write them to.

    `x`, `z`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `out_a`, `out_b`: like x and z, sharing no memory with them; receive the gradients for the
    given `top_diff` (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    return _loss(x, z, None, None, (), top_diff, out_a, out_b, threads)


backward = gradient_alone(l1_loss)
