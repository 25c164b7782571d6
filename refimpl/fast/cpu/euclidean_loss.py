# mypy: disable-error-code="no-any-return, untyped-decorator"
"""EuclideanLoss on a CPU (``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (a - b)^2 / (2 N)``, N the first dimension; ``dL/da = w (a - b) / N = -dL/db``. Computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import Output, floats, same_samples
from refimpl.fast.cpu.kernel import (
    ADDING,
    CHUNK,
    DONE,
    QUICK,
    UNFIT,
    added,
    attempt,
    block,
    call,
    chunks_of,
    fits,
    flat,
    helper,
    kernel,
    partial_sums,
    written,
)
from refimpl.fast.cpu.threads import spread
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.stored import number, stored

__all__ = ["FORMULA", "backward", "euclidean_loss"]


def _value(a: Any, b: Any, s: Any) -> Any:
    return (a - b) * (a - b)


def _slope(a: Any, b: Any, s: Any) -> Any:
    return a - b


FORMULA = Formula("euclidean_loss", _value, _slope, names=("a", "b"), outputs=("out_a", "out_b"), parts=2)
"""What `refimpl.fast.cpu.pointwise` would make of it does the same work, but a call of that takes some 0.3 microseconds
more than one of the kernels here."""

_value_at, _slope_at = helper()(_value), helper()(_slope)


@helper(**ADDING)
def _squares(a: Any, b: Any, difference: Any) -> float:
    """The sum of squared differences of a block, which are kept."""
    loss = 0.0
    for i in range(a.size):
        difference[i] = _slope_at(np.float64(number(a[i])), np.float64(number(b[i])), ())
        loss += _value_at(np.float64(number(a[i])), np.float64(number(b[i])), ())
    return loss


@helper()
def _scaled(difference: Any, scale: float, out: Any) -> None:
    for i in range(out.size):
        out[i] = stored(difference[i] * scale, out.dtype)


@helper()
def _work(first: int, last: int, sums: Any, a: Any, b: Any, out_a: Any, out_b: Any, scale: float) -> int:
    difference = block()
    for chunk in range(first, last):
        loss = 0.0
        for start in range(chunk * CHUNK, min(a.size, (chunk + 1) * CHUNK), difference.size):
            stop = min(a.size, start + difference.size)
            loss += _squares(a[start:stop], b[start:stop], difference)
            _scaled(difference, scale, out_a[start:stop])
            _scaled(difference, -scale, out_b[start:stop])
        sums[chunk] = loss
    return DONE


@kernel(nogil=True)
def _chunks(first: int, last: int, sums: Any, a: Any, b: Any, out_a: Any, out_b: Any, scale: float) -> int:
    return _work(first, last, flat(sums), flat(a), flat(b), flat(out_a), flat(out_b), scale)


@kernel(nogil=False)
def _quick(a: Any, b: Any, out_a: Any, out_b: Any, top_diff: float) -> tuple[float, int]:
    """The whole of a small problem."""
    if not 0 < a.size <= QUICK or a.shape != b.shape or not (fits(out_a, a) and fits(out_b, b)):
        return np.nan, UNFIT
    sums = partial_sums()[: chunks_of(a.size)]
    status = _work(0, sums.size, sums, flat(a), flat(b), written(out_a, a), written(out_b, b), top_diff / a.shape[0])
    return added(sums) / (2 * a.shape[0]), status


def euclidean_loss(
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    top_diff: float = 1.0,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradients for a and for b, where there are arrays to write them to.

    `a`, `b`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `out_a`, `out_b`: like a and b, sharing no memory with them; receive the gradients for the
    given `top_diff` (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    loss, status = attempt(_quick, a, b, out_a, out_b, top_diff)
    if status == DONE:
        return loss
    return _careful(a, b, float(top_diff), out_a, out_b, threads)


def _careful(a: Any, b: Any, top_diff: float, out_a: Any, out_b: Any, threads: int | None) -> float:
    a = floats(a, "a")
    b = floats(b, "b", a)
    num = same_samples(a, b)
    gradients = Output(out_a, "out_a", a), Output(out_b, "out_b", b)
    if a.size <= QUICK:
        loss, _ = call(
            _quick, a.reshape(num, -1), b.reshape(num, -1), *(g.shaped(num, -1) for g in gradients), top_diff
        )
    else:
        work = a.reshape(-1), b.reshape(-1), *(g.flat for g in gradients), top_diff / num
        loss, _ = spread(_chunks, chunks_of(a.size), a.size, threads, *work)
        loss /= 2 * num
    for gradient in gradients:
        gradient.finish()
    return float(loss)


backward = gradient_alone(euclidean_loss)
