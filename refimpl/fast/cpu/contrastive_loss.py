# mypy: disable-error-code="no-any-return, untyped-decorator"
"""ContrastiveLoss on a CPU (``src/caffe/layers/contrastive_loss_layer.cpp``).

``L = sum_i (s_i ? d_i^2 : max(margin - d_i, 0)^2) / (2 N)``, d_i the distance of a pair; legacy: ``max(margin - d_i^2,
0)``. ``dL/da = w (a - b) / N`` for a similar pair; for a dissimilar one within the margin ``-w (margin - d) / (d +
1e-4) (a - b) / N``, legacy ``-w (a - b) / N``, otherwise 0; ``dL/db = -dL/da``. The added 1e-4 is Caffe's, in its own
type. Computed in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import Output, floats, integers, labels_of_samples, same_samples
from refimpl.fast.cpu.kernel import (
    ADDING,
    CHUNK,
    DONE,
    QUICK,
    UNFIT,
    added,
    attempt,
    call,
    fits,
    flat,
    helper,
    kernel,
    native,
    partial_sums,
    written,
)
from refimpl.fast.cpu.threads import spread
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like, truncated
from refimpl.fast.stored import number, stored

__all__ = ["backward", "contrastive_loss"]


@helper(**ADDING)
def _squared_distance(a: Any, b: Any) -> float:
    result = 0.0
    for i in range(a.size):
        d = np.float64(number(a[i])) - np.float64(number(b[i]))
        result += d * d
    return result


@helper()
def _pull(a: Any, b: Any, factor: float, scale: float, out: Any) -> None:
    if factor == 0:  # 0 even where the pair is infinitely far apart
        for i in range(out.size):
            out[i] = 0
        return
    factor *= scale
    for i in range(out.size):
        out[i] = stored((np.float64(number(a[i])) - np.float64(number(b[i]))) * factor, out.dtype)


@helper()
def _pair(squared: float, similar: bool, margin: float, legacy: int, offset: float) -> tuple[float, float]:
    """Twice the loss of a pair, and what multiplies w (a - b) / N in its gradient. max(NaN, 0) is NaN, as in Caffe."""
    if similar:
        return squared, 1.0
    distance = squared if legacy else math.sqrt(squared)
    missing = margin - distance
    loss = 0.0 if missing < 0 else missing
    if legacy:
        return loss, -1.0 if missing > 0 else 0.0
    return loss * loss, -missing / (distance + offset) if missing > 0 else 0.0


@register_jitable
def _rows(dim: int) -> int:
    """How many pairs make a chunk."""
    return CHUNK // dim if dim < CHUNK else 1


@helper()
def _work(
    first: int,
    last: int,
    sums: Any,
    a: Any,
    b: Any,
    similar: Any,
    out_a: Any,
    out_b: Any,
    dim: int,
    margin: float,
    legacy: int,
    scale: float,
) -> int:
    offset = np.float64(like(number(a[0]), 1e-4))
    rows = _rows(dim)
    for chunk in range(first, last):
        loss = 0.0
        for n in range(chunk * rows, min(a.size // dim, (chunk + 1) * rows)):
            start, stop = n * dim, (n + 1) * dim
            x, y = a[start:stop], b[start:stop]
            part, factor = _pair(_squared_distance(x, y), truncated(number(similar[n])) != 0, margin, legacy, offset)
            loss += part
            _pull(x, y, factor, scale, out_a[start:stop])
            _pull(x, y, factor, -scale, out_b[start:stop])
        sums[chunk] = loss
    return DONE


@kernel(nogil=True)
def _chunks(
    first: int,
    last: int,
    sums: Any,
    a: Any,
    b: Any,
    similar: Any,
    out_a: Any,
    out_b: Any,
    dim: int,
    margin: float,
    legacy: int,
    scale: float,
) -> int:
    arrays = flat(sums), flat(a), flat(b), flat(similar), flat(out_a), flat(out_b)
    return _work(first, last, *arrays, dim, margin, legacy, scale)


@kernel(nogil=False)
def _quick(
    a: Any, b: Any, out_a: Any, out_b: Any, similar: Any, margin: float, legacy: int, top_diff: float
) -> tuple[float, int]:
    """The whole of a small problem."""
    num, dim = a.shape
    if not 0 < a.size <= QUICK or a.shape != b.shape or similar.size < num or not (fits(out_a, a) and fits(out_b, b)):
        return np.nan, UNFIT
    rows = _rows(dim)
    sums = partial_sums()[: (num + rows - 1) // rows]
    arrays = flat(a), flat(b), flat(similar), written(out_a, a), written(out_b, b)
    status = _work(0, sums.size, sums, *arrays, dim, margin, legacy, top_diff / num)
    return added(sums) / (2 * num), status


def contrastive_loss(
    a: NDArray[Any],
    b: NDArray[Any],
    similar: NDArray[Any],
    *,
    margin: float = 1.0,
    legacy_version: bool = False,
    top_diff: float = 1.0,
    out_a: NDArray[Any] | None = None,
    out_b: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradients for a and for b, where there are arrays to write them to.

    `a`, `b`: of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the same number of
    entries, in any shape. `similar`: numbers, at least N of them; one that is not 0 after truncation toward zero means
    that its pair is similar. `out_a`, `out_b`: like a and b, sharing no memory with them; receive the gradients for the
    given `top_diff` (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch.
    """
    if native(similar):
        loss, status = attempt(_quick, a, b, out_a, out_b, similar, margin, 1 if legacy_version else 0, top_diff)
        if status == DONE:
            return loss
    return _careful(a, b, similar, float(margin), int(legacy_version), float(top_diff), out_a, out_b, threads)


def _careful(
    a: Any,
    b: Any,
    similar: Any,
    margin: float,
    legacy: int,
    top_diff: float,
    out_a: Any,
    out_b: Any,
    threads: int | None,
) -> float:
    a = floats(a, "a")
    b = floats(b, "b", a)
    num = same_samples(a, b)
    similar = integers(similar, "similar", a)
    labels_of_samples(a, similar)
    gradients = Output(out_a, "out_a", a), Output(out_b, "out_b", b)
    dim = a.size // num
    if a.size <= QUICK:
        outs = (g.shaped(num, dim) for g in gradients)
        loss, _ = call(_quick, a.reshape(num, dim), b.reshape(num, dim), *outs, similar, margin, legacy, top_diff)
    else:
        work = a.reshape(-1), b.reshape(-1), similar, *(g.flat for g in gradients), dim, margin, legacy, top_diff / num
        loss, _ = spread(_chunks, -(-num // _rows(dim)), a.size, threads, *work)
        loss /= 2 * num
    for gradient in gradients:
        gradient.finish()
    return float(loss)


backward = gradient_alone(contrastive_loss)
