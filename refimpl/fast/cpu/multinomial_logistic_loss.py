# mypy: disable-error-code="no-any-return, untyped-decorator"
"""MultinomialLogisticLoss on a CPU (``src/caffe/layers/multinomial_logistic_loss_layer.cpp``).

``L = -sum log(max(p_label, 1e-20)) / N``; ``dL/dp = -w / (N max(p, 1e-20))`` at the label, also where p is below, and 0
elsewhere. The floor is a float in Caffe, whatever the type of the net. Computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.dtypes import FLOAT
from refimpl.fast.cpu.arguments import Output, floats, integers, labels_of_samples, refuse_labels
from refimpl.fast.cpu.kernel import (
    CHUNK,
    DONE,
    QUICK,
    UNFIT,
    WRONG_LABEL,
    added,
    attempt,
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
from refimpl.fast.scalar import log, truncated
from refimpl.fast.stored import number, stored

__all__ = ["FLOOR", "backward", "multinomial_logistic_loss"]

FLOOR = float(FLOAT.rounded(1e-20))
"""kLOG_THRESHOLD."""


@helper()
def _work(first: int, last: int, sums: Any, p: Any, labels: Any, out: Any, classes: int, scale: float) -> int:
    status = DONE
    for chunk in range(first, last):
        start, stop = chunk * CHUNK, min(p.size, (chunk + 1) * CHUNK)
        gradient = out[start:stop]
        for i in range(gradient.size):
            gradient[i] = 0
        loss = 0.0
        for n in range(start // classes, (stop - 1) // classes + 1):
            label = truncated(number(labels[n]))
            if label < 0 or label >= classes:
                status = WRONG_LABEL
            i = n * classes + label
            if start <= i < stop:
                value = np.float64(number(p[i]))
                value = FLOOR if value < FLOOR else value
                loss -= log(value)
                if gradient.size > 0:
                    gradient[i - start] = stored(-scale / value, gradient.dtype)
        sums[chunk] = loss
    return status


@kernel(nogil=True)
def _chunks(first: int, last: int, sums: Any, p: Any, labels: Any, out: Any, classes: int, scale: float) -> int:
    return _work(first, last, flat(sums), flat(p), flat(labels), flat(out), classes, scale)


@kernel(nogil=False)
def _quick(p: Any, labels: Any, out: Any, top_diff: float) -> tuple[float, int]:
    """The whole of a small problem."""
    num, classes = p.shape
    if not 0 < p.size <= QUICK or labels.size != num or not fits(out, p):
        return np.nan, UNFIT
    sums = partial_sums()[: chunks_of(p.size)]
    status = _work(0, sums.size, sums, flat(p), flat(labels), written(out, p), classes, top_diff / num)
    return added(sums) / num, status


def multinomial_logistic_loss(
    p: NDArray[Any],
    labels: NDArray[Any],
    *,
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient, if there is an array to write it to.

    `p`: probabilities of a type of `refimpl.dtypes`; N samples along the first axis, everything else flattened to
    classes. `labels`: N numbers in any shape, truncated toward zero. `out`: like p, sharing no memory with it; receives
    the gradient for the given `top_diff` (the top's diff, that is the weight). `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for another number of labels, an empty batch, and a label that is no
    class (`out` is then undefined).
    """
    loss, status = attempt(_quick, p, labels, out, top_diff)
    if status == DONE:
        return loss
    return _careful(p, labels, float(top_diff), out, threads)


def _careful(p: Any, labels: Any, top_diff: float, out: Any, threads: int | None) -> float:
    p = floats(p, "p")
    labels = integers(labels, "labels", p)
    num = labels_of_samples(p, labels, exactly=True)
    gradient = Output(out, "out", p)
    if p.size <= QUICK:
        loss, status = call(_quick, p.reshape(num, -1), labels, gradient.shaped(num, -1), top_diff)
    else:
        work = p.reshape(-1), labels, gradient.flat, p.size // num, top_diff / num
        loss, status = spread(_chunks, chunks_of(p.size), p.size if out is not None else num, threads, *work)
        loss /= num
    if status == WRONG_LABEL:
        refuse_labels(labels, p.size // num, (num,))
    gradient.finish()
    return float(loss)


backward = gradient_alone(multinomial_logistic_loss)
