"""What SoftmaxWithLoss and InfogainLoss share on the Python side: checks, shapes, and the choice of a kernel."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import (
    SINGLE,
    Output,
    Positions,
    beside,
    floats,
    given_as,
    ignored,
    integers,
    mode_of,
    refuse_labels,
    square,
)
from refimpl.fast.cpu.kernel import WIDE, WRONG_LABEL, call
from refimpl.fast.cpu.normaliser import divisor_of
from refimpl.fast.cpu.softmax import Task, by_rows, chunks
from refimpl.fast.cpu.threads import spread
from refimpl.fast.stored import narrow, working

__all__ = ["Kernels", "gradient_of_softmax", "loss_of_logits"]

Options = tuple[int, int | None, str, float]
"""axis, ignore_label, normalization, top_diff."""


class Kernels(NamedTuple):
    """A layer's kernels: for small problems, for chunks that are tiles or rows, and for a gradient from the softmax.

    All take an infogain matrix, if their layer has one: `quick` after its outputs, in any shape, the others after
    the labels, flat.
    """

    quick: Any
    tiles: Any
    rows: Any
    softmax: Any


def loss_of_logits(
    kernels: Kernels, x: Any, labels: Any, matrix: Any, options: Options, out: Any, prob: Any, threads: int | None
) -> float:
    """What the layers' functions document, for any arguments."""
    axis, ignore_label, normalization, top_diff = options
    ignore, mode = ignored(ignore_label), mode_of(normalization)
    x = floats(x, "x")
    labels, positions, extra = _checked(x, labels, axis, matrix, beside(x) if narrow(x) else ())
    gradient, softmax = Output(out, "out", x), Output(prob, "prob", x, working(x, 0).dtype)
    outer, classes, inner = positions.form
    if x.size <= WIDE:
        rows = outer, classes * inner
        outputs = gradient.shaped(*rows), softmax.shaped(*rows)
        settings = inner, mode, ignore, float(top_diff)
        loss, status = call(kernels.quick, x.reshape(rows), labels, *outputs, *extra, *settings)
    else:
        z = divisor_of(mode, outer, labels, ignore, threads)
        kernel = kernels.rows if by_rows(classes, inner) else kernels.tiles
        task = Task(outer, classes, inner, ignore, float(top_diff) / z)
        arrays = x.reshape(-1), labels, *(m.reshape(-1) for m in extra), gradient.flat, softmax.flat
        loss, status = spread(kernel, chunks(outer, classes, inner), x.size, threads, *arrays, task)
        loss /= z
    if status == WRONG_LABEL:
        refuse_labels(labels, classes, positions.shape, ignore)
    gradient.finish()
    softmax.finish()
    return float(loss)


def gradient_of_softmax(
    kernels: Kernels, prob: Any, labels: Any, matrix: Any, options: Options, out: Any, threads: int | None
) -> None:
    """What the layers' ``backward`` documents."""
    axis, ignore_label, normalization, top_diff = options
    ignore, mode = ignored(ignore_label), mode_of(normalization)
    prob = floats(prob, "prob")
    if narrow(prob):
        raise TypeError(f"prob has dtype {given_as(prob.dtype)}: the softmax of a half type is kept in {SINGLE}")
    labels, positions, extra = _checked(prob, labels, axis, matrix, beside(prob))
    gradient = Output(out, "out", prob, also=beside(prob))
    outer, classes, inner = positions.form
    scale = float(top_diff) / divisor_of(mode, outer, labels, ignore, threads)
    task = Task(outer, classes, inner, ignore, scale)
    arrays = prob.reshape(-1), labels, *(m.reshape(-1) for m in extra), gradient.flat
    _, status = spread(kernels.softmax, chunks(outer, classes, inner), prob.size, threads, *arrays, task)
    if status == WRONG_LABEL:
        refuse_labels(labels, classes, positions.shape, ignore)
    gradient.finish()


def _checked(
    x: NDArray[Any], labels: Any, axis: int, matrix: Any, also: Collection[np.dtype[Any]] = ()
) -> tuple[NDArray[Any], Positions, tuple[NDArray[Any], ...]]:
    """Flat labels, the division of x into positions, and the infogain matrix, if there is one."""
    labels = integers(labels, "labels", x, also)
    positions = Positions(x.shape, axis)
    positions.check_labels(labels)
    return labels, positions, () if matrix is None else (square(matrix, positions.classes, x, also),)
