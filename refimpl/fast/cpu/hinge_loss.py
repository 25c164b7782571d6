# mypy: disable-error-code="no-any-return, untyped-decorator"
"""HingeLoss on a CPU (``src/caffe/layers/hinge_loss_layer.cpp``).

``L = sum m^p / N`` with the margins ``m = max(0, 1 + x)``, at the label ``max(0, 1 - x)``; p is 1 or 2. ``dL/dx = w
sign(m) / N`` or ``2 w m / N``, negated at the label. Computed in float64.

max(0, NaN) is 0, as ``std::max(Dtype(0), x)`` has it in Caffe: a NaN score adds nothing to the loss and gets no
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import Output, floats, integers, labels_of_samples, refuse_labels
from refimpl.fast.cpu.kernel import (
    ADDING,
    CHUNK,
    DONE,
    QUICK,
    UNFIT,
    WRONG_LABEL,
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
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import like, truncated
from refimpl.fast.stored import number, stored

__all__ = ["L2", "backward", "hinge_loss", "margin_of", "norm_of", "slope", "value"]

L1, L2 = 1, 2
NORMS = {"L1": L1, "L2": L2}


def margin_of(x: Any, at_label: bool) -> Any:
    """The margin of a score. This and the next two are the formula of the kernels here and on a GPU."""
    margin = like(x, 1) - x if at_label else like(x, 1) + x
    return margin if margin > like(x, 0) else like(x, 0)


def value(margin: Any, squared: bool) -> Any:
    """What a margin costs."""
    return margin * margin if squared else margin


def slope(margin: Any, squared: bool) -> Any:
    """The derivative of that by the margin."""
    if squared:
        return margin + margin
    return like(margin, 1) if margin > like(margin, 0) else like(margin, 0)


_margin, _value, _slope = helper()(margin_of), helper()(value), helper()(slope)


@helper()
def _margins(x: Any, margin: Any) -> None:
    """The margins of a block as if no entry were a label's."""
    for i in range(x.size):
        margin[i] = _margin(np.float64(number(x[i])), False)


@helper(**ADDING)
def _sum(margin: Any, norm: int) -> float:
    loss = 0.0
    if norm == L1:
        for i in range(margin.size):
            loss += _value(margin[i], False)
    else:
        for i in range(margin.size):
            loss += _value(margin[i], True)
    return loss


@helper()
def _gradients(x: Any, margin: Any, norm: int, scale: float, out: Any) -> None:
    """The gradients of a block as if no entry were a label's. x > -1 is 1 + x > 0, and takes half the memory."""
    if norm == L1:
        one, some, none = like(number(x[0]), 1), stored(scale, out.dtype), stored(0.0, out.dtype)
        for i in range(out.size):
            out[i] = some if number(x[i]) > -one else none
    else:
        twice = 2 * scale
        for i in range(out.size):
            out[i] = stored(margin[i] * twice, out.dtype)


@helper()
def _block(
    start: int, x: Any, labels: Any, classes: int, norm: int, scale: float, margin: Any, out: Any
) -> tuple[float, int]:
    """The loss of the entries x, which begin at `start`."""
    _margins(x, margin)
    samples = range(start // classes, (start + x.size - 1) // classes + 1)
    bad = False
    for n in samples:
        label = truncated(number(labels[n]))
        bad |= label < 0 or label >= classes
        i = n * classes + label - start
        if 0 <= i < x.size:
            margin[i] = _margin(np.float64(number(x[i])), True)
    if bad:
        return 0.0, WRONG_LABEL
    if out.size > 0:
        _gradients(x, margin, norm, scale, out)
        for n in samples:
            i = n * classes + truncated(number(labels[n])) - start
            if 0 <= i < x.size:
                out[i] = stored(-_slope(margin[i], norm == L2) * scale, out.dtype)
    return _sum(margin, norm), DONE


@helper()
def _work(
    first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, classes: int, norm: int, scale: float
) -> int:
    room, status = block(), DONE
    for chunk in range(first, last):
        loss = 0.0
        for start in range(chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK), room.size):
            stop = min(x.size, start + room.size)
            margin, gradient = room[: stop - start], out[start:stop]
            part, wrong = _block(start, x[start:stop], labels, classes, norm, scale, margin, gradient)
            loss += part
            status = max(status, wrong)
        sums[chunk] = loss
    return status


@kernel(nogil=True)
def _chunks(
    first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, classes: int, norm: int, scale: float
) -> int:
    return _work(first, last, flat(sums), flat(x), flat(labels), flat(out), classes, norm, scale)


@kernel(nogil=False)
def _quick(x: Any, labels: Any, out: Any, norm: int, top_diff: float) -> tuple[float, int]:
    """The whole of a small problem."""
    num, classes = x.shape
    if not 0 < x.size <= QUICK or labels.size < num or not fits(out, x):
        return np.nan, UNFIT
    sums = partial_sums()[: chunks_of(x.size)]
    status = _work(0, sums.size, sums, flat(x), flat(labels), written(out, x), classes, norm, top_diff / num)
    return added(sums) / num, status


def hinge_loss(
    x: NDArray[Any],
    labels: NDArray[Any],
    *,
    norm: str = "L1",
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient, if there is an array to write it to.

    `x`: scores of a type of `refimpl.dtypes`; N samples along the first axis, everything else flattened to classes.
    `labels`: numbers, truncated toward zero, at least N of them in any shape (what follows the first N is not read, as
    in Caffe). `norm`: "L1" or "L2". `out`: like x, sharing no memory with it; receives the gradient for the given
    `top_diff` (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for too few labels, an empty batch, an unknown `norm`, and a label
    that is no class (`out` is then undefined).
    """
    loss, status = attempt(_quick, x, labels, out, NORMS.get(norm), top_diff)
    if status == DONE:
        return loss
    return _careful(x, labels, norm, float(top_diff), out, threads)


def norm_of(norm: str) -> int:
    """The number of a norm. Raises ValueError for an unknown one."""
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}: give L1 or L2")
    return NORMS[norm]


def _careful(x: Any, labels: Any, norm: str, top_diff: float, out: Any, threads: int | None) -> float:
    number = norm_of(norm)
    x = floats(x, "x")
    labels = integers(labels, "labels", x)
    num = labels_of_samples(x, labels)
    gradient = Output(out, "out", x)
    if x.size <= QUICK:
        loss, status = call(_quick, x.reshape(num, -1), labels, gradient.shaped(num, -1), number, top_diff)
    else:
        work = x.reshape(-1), labels, gradient.flat, x.size // num, number, top_diff / num
        loss, status = spread(_chunks, chunks_of(x.size), x.size, threads, *work)
        loss /= num
    if status == WRONG_LABEL:
        refuse_labels(labels[:num], x.size // num, (num,))
    gradient.finish()
    return float(loss)


backward = gradient_alone(hinge_loss)
