# mypy: disable-error-code="no-any-return, untyped-decorator"
"""EuclideanLoss on a CPU (``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (a - b)^2 / (2 N)``, N the first dimension; ``dL/da = w (a - b) / N = -dL/db``. Computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import DOUBLE, SINGLE, Output, floats, same_samples
from refimpl.fast.cpu.kernel import (
    ADDING,
    BLOCK,
    CHUNK,
    QUICK,
    added,
    call,
    chunks_of,
    fits,
    flat,
    helper,
    kernel,
    written,
)
from refimpl.fast.cpu.threads import spread

__all__ = ["backward", "euclidean_loss"]


@helper(**ADDING)
def _squares(a: Any, b: Any, difference: Any) -> float:
    """The sum of squared differences of a block, which are kept."""
    loss = 0.0
    for i in range(a.size):
        d = np.float64(a[i]) - np.float64(b[i])
        difference[i] = d
        loss += d * d
    return loss


@helper()
def _scaled(difference: Any, scale: float, out: Any) -> None:
    for i in range(out.size):
        out[i] = difference[i] * scale


@helper()
def _work(first: int, last: int, sums: Any, a: Any, b: Any, out_a: Any, out_b: Any, scale: float) -> None:
    difference = np.empty(BLOCK // 8)
    for chunk in range(first, last):
        loss = 0.0
        for start in range(chunk * CHUNK, min(a.size, (chunk + 1) * CHUNK), difference.size):
            stop = min(a.size, start + difference.size)
            loss += _squares(a[start:stop], b[start:stop], difference)
            _scaled(difference, scale, out_a[start:stop])
            _scaled(difference, -scale, out_b[start:stop])
        sums[chunk] = loss


@kernel(nogil=True)
def _chunks(first: int, last: int, sums: Any, a: Any, b: Any, out_a: Any, out_b: Any, scale: float) -> None:
    _work(first, last, flat(sums), flat(a), flat(b), flat(out_a), flat(out_b), scale)


@kernel(nogil=False)
def _quick(a: Any, b: Any, out_a: Any, out_b: Any, top_diff: float) -> float:
    """The whole of a small problem; NaN also for arguments that do not fit together."""
    if a.size == 0 or a.shape != b.shape or not (fits(out_a, a) and fits(out_b, b)):
        return np.nan
    sums = np.empty(chunks_of(a.size))
    _work(0, sums.size, sums, flat(a), flat(b), written(out_a, a), written(out_b, b), top_diff / a.shape[0])
    return added(sums) / (2 * a.shape[0])


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

    `a`, `b`: float32 or float64, both the same; N samples along the first axis with the same number of entries, in any
    shape. `out_a`, `out_b`: like a and b, sharing no memory with them; receive the gradients for the given `top_diff`
    (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    try:
        dtype = a.dtype
        native = (dtype is SINGLE or dtype is DOUBLE) and b.dtype is dtype
        if (
            native
            and a.ndim == 2
            and a.size <= QUICK
            and (out_a is None or out_a.dtype is dtype)
            and (out_b is None or out_b.dtype is dtype)
        ):
            loss = _quick(a, b, out_a, out_b, top_diff)
            if loss == loss:
                return loss
    except (AttributeError, TypeError):
        pass
    return _careful(a, b, float(top_diff), out_a, out_b, threads)


def _careful(a: Any, b: Any, top_diff: float, out_a: Any, out_b: Any, threads: int | None) -> float:
    a = floats(a, "a")
    b = floats(b, "b", a)
    num = same_samples(a, b)
    gradients = Output(out_a, "out_a", a), Output(out_b, "out_b", b)
    if a.size <= QUICK:
        loss = call(_quick, a.reshape(num, -1), b.reshape(num, -1), *(g.shaped(num, -1) for g in gradients), top_diff)
    else:
        work = a.reshape(-1), b.reshape(-1), *(g.flat for g in gradients), top_diff / num
        loss = spread(_chunks, chunks_of(a.size), a.size, threads, *work) / (2 * num)
    for gradient in gradients:
        gradient.finish()
    return float(loss)


def backward(
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    top_diff: float,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> None:
    """The gradients alone; arguments as for `euclidean_loss`. It is memory that takes the time, so the loss costs
    nothing."""
    euclidean_loss(a, b, top_diff=top_diff, out_a=out_a, out_b=out_b, threads=threads)
