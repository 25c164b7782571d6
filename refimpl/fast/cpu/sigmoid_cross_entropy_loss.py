# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SigmoidCrossEntropyLoss on a CPU (``src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp``).

``L = sum (log(1 + e^-|x|) - x (t - [x >= 0])) / Z`` over the counted entries; ``dL/dx = w (1 / (1 + e^-x) - t) / Z``
there and 0 elsewhere. As in Caffe an infinite logit gives NaN, with a finite gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import MODES, NO_LABEL, Output, floats, ignored, mode_of, same_samples
from refimpl.fast.cpu.kernel import (
    BLOCK,
    CHUNK,
    DONE,
    UNFIT,
    WIDE,
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
    total,
    written,
)
from refimpl.fast.cpu.normaliser import divisor, divisor_of
from refimpl.fast.cpu.threads import spread
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import cross_entropy, exp, like, sigmoid, truncated
from refimpl.fast.stored import number, stored, working

__all__ = ["FORMULA", "backward", "sigmoid_cross_entropy_loss"]


def _value(x: Any, t: Any, s: Any) -> Any:
    return cross_entropy(x, t, exp(-abs(x)))


def _slope(x: Any, t: Any, s: Any) -> Any:
    return sigmoid(x) - t


FORMULA = Formula("sigmoid_cross_entropy_loss", _value, _slope, names=("x", "t"), outputs=("out",), counts=True)
"""For a GPU. The kernels here share the exponential between loss and gradient, of large inputs in their own type."""


@helper()
def _exponentials(x: Any, tail: Any) -> None:
    """e^-|x|, in the type of `tail`."""
    for i in range(x.size):
        tail[i] = exp(-abs(like(tail[i], number(x[i]))))


@helper()
def _losses(x: Any, t: Any, tail: Any) -> None:
    """Replace the exponentials by the losses."""
    for i in range(x.size):
        e = tail[i]
        tail[i] = cross_entropy(like(e, number(x[i])), like(e, number(t[i])), e)


@helper()
def _losses_and_gradients(x: Any, t: Any, tail: Any, scale: Any, out: Any) -> None:
    """The same, and write the gradients."""
    for i in range(x.size):
        e = tail[i]
        one, v, y = like(e, 1), like(e, number(x[i])), like(e, number(t[i]))
        part = one if v >= like(e, 0) else e
        whole = one + e
        inverse = one / whole
        share = part * inverse
        # What the sum and the quotient lost counts where a target is near the sigmoid.
        lost = (part - share * whole) - share * (e - (whole - one))
        out[i] = stored((share - y) * scale + lost * (inverse * scale), out.dtype)
        tail[i] = cross_entropy(v, y, e)


@helper()
def _forget(t: Any, ignore: int, losses: Any, out: Any) -> None:
    """Take ignored entries out of the losses and the gradient."""
    for i in range(t.size):
        if truncated(number(t[i])) == ignore:
            losses[i] = 0
            if out.size > 0:
                out[i] = 0


@helper()
def _work(first: int, last: int, sums: Any, x: Any, t: Any, out: Any, ignore: int, scale: float, room: Any) -> int:
    for chunk in range(first, last):
        loss = 0.0
        for start in range(chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK), room.size):
            stop = min(x.size, start + room.size)
            logits, targets, gradient, scratch = x[start:stop], t[start:stop], out[start:stop], room[: stop - start]
            _exponentials(logits, scratch)
            if gradient.size > 0:
                _losses_and_gradients(logits, targets, scratch, like(room[0], scale), gradient)
            else:
                _losses(logits, targets, scratch)
            if ignore != NO_LABEL:
                _forget(targets, ignore, scratch, gradient)
            loss += total(scratch)
        sums[chunk] = loss
    return DONE


@kernel(nogil=True)
def _chunks(first: int, last: int, sums: Any, x: Any, t: Any, out: Any, ignore: int, scale: float) -> int:
    room = working(x, BLOCK // working(x, 0).itemsize)
    return _work(first, last, flat(sums), flat(x), flat(t), flat(out), ignore, scale, room)


@kernel(nogil=False)
def _quick(x: Any, t: Any, out: Any, mode: int, ignore: int, top_diff: float) -> tuple[float, int]:
    """The whole of a small problem, in float64."""
    if not 0 < x.size <= WIDE or x.shape != t.shape or not fits(out, x):
        return np.nan, UNFIT
    targets = flat(t)
    z = divisor(mode, x.shape[0], targets, ignore)
    sums = partial_sums()[: chunks_of(x.size)]
    status = _work(0, sums.size, sums, flat(x), targets, written(out, x), ignore, top_diff / z, block())
    return added(sums) / z, status


def sigmoid_cross_entropy_loss(
    x: NDArray[Any],
    t: NDArray[Any],
    *,
    ignore_label: int | None = None,
    normalization: str = "BATCH_SIZE",
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient, if there is an array to write it to.

    `x`, `t`: logits and targets, of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the
    same number of entries. Targets may be any number; one whose integral part is `ignore_label` does not count.
    `normalization`: divide by the entries (FULL), those that count (VALID), N (BATCH_SIZE) or 1 (NONE). `out`: like x,
    sharing no memory with it; receives the gradient for the given `top_diff` (the top's diff, that is the weight).
    `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch and an unknown
    `normalization`.
    """
    ignore = NO_LABEL if ignore_label is None else ignore_label
    loss, status = attempt(_quick, x, t, out, MODES.get(normalization), ignore, top_diff)
    if status == DONE:
        return loss
    return _careful(x, t, ignored(ignore_label), mode_of(normalization), float(top_diff), out, threads)


def _careful(x: Any, t: Any, ignore: int, mode: int, top_diff: float, out: Any, threads: int | None) -> float:
    x = floats(x, "x")
    t = floats(t, "t", x)
    num = same_samples(x, t)
    gradient = Output(out, "out", x)
    if x.size <= WIDE:
        rows = x.reshape(num, -1), t.reshape(num, -1), gradient.shaped(num, -1)
        loss, _ = call(_quick, *rows, mode, ignore, top_diff)
    else:
        z = divisor_of(mode, num, t.reshape(-1), ignore, threads)
        work = x.reshape(-1), t.reshape(-1), gradient.flat, ignore, top_diff / z
        loss, _ = spread(_chunks, chunks_of(x.size), x.size, threads, *work)
        loss /= z
    gradient.finish()
    return float(loss)


backward = gradient_alone(sigmoid_cross_entropy_loss)
