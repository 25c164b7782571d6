# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SoftmaxWithLoss on a CPU (``src/caffe/layers/softmax_loss_layer.cpp``).

``L = sum min(log sum_j exp x_j - x_label, -log FLT_MIN) / Z`` over the counted positions, which is Caffe's -log
max(p_label, FLT_MIN); ``dL/dx_i = w (p_i - [i = label]) / Z``, also where the loss is capped, and 0 at ignored
positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import MODES, NO_LABEL
from refimpl.fast.cpu.kernel import (
    BLOCK,
    DONE,
    UNFIT,
    WIDE,
    added,
    attempt,
    fits,
    flat,
    helper,
    kernel,
    partial_sums,
    written,
)
from refimpl.fast.cpu.logits import Kernels, gradient_of_softmax, loss_of_logits
from refimpl.fast.cpu.normaliser import divisor
from refimpl.fast.cpu.prefetch import AHEAD
from refimpl.fast.cpu.softmax import (
    Task,
    chunks,
    clear,
    cut,
    divide,
    exponentials,
    exponentials_of,
    exponentiate,
    kept_in,
    largest,
    load,
    mark,
    multiplied,
    multiply,
    place,
    rooms,
    scratch,
    store,
)
from refimpl.fast.scalar import exp, like, log
from refimpl.fast.stored import number, numbers, stored

__all__ = ["backward", "softmax_with_loss"]

CAP = 87.33654475055310898657
"""-log FLT_MIN: the loss of a position whose label has probability 0, in float64 as well."""


@helper()
def _capped(loss: float) -> float:
    """NaN stays NaN."""
    return CAP if loss > CAP else loss


@helper()
def _tile_losses(x: Any, where: Any, tile: Any) -> float:
    """The sum of the losses of a tile's positions."""
    logits, marks = x[where.base :], tile.marks
    loss = 0.0
    for p in range(where.size):
        if marks[p] >= 0:
            logit = logits[marks[p] * where.per_class + p * where.per_position]
            loss += _capped(tile.logs[p] - (np.float64(number(logit)) - np.float64(tile.top[p])))
    return loss


@helper()
def _tile_gradient(tile: Any, task: Any, out: Any, where: Any) -> None:
    """Write the gradient of a tile of exponentials."""
    divide(task.scale, tile.total, tile.factor)
    if task.ignore != NO_LABEL:
        clear(tile, task.classes)
    store(tile, task.classes, out, where)
    gradient, marks = out[where.base :], tile.marks
    for p in range(where.size):
        if marks[p] >= 0:
            share = np.float64(tile.values[marks[p] * where.size + p]) * np.float64(tile.factor[p])
            at = marks[p] * where.per_class + p * where.per_position
            gradient[at] = stored(share - task.scale, out.dtype)


@helper()
def _tiles(first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, task: Any, room: Any) -> int:
    """Chunks that are tiles."""
    status = DONE
    for chunk in range(first, last):
        where = place(chunk, task)
        tile = cut(room, task.classes, where.size)
        load(x, where, task.classes, tile)
        exponentiate(tile, task.classes)
        status = max(status, mark(labels[where.label :], task.classes, task.ignore, tile.marks))
        sums[chunk] = _tile_losses(x, where, tile)
        if prob.size > 0:
            divide(1.0, tile.total, tile.factor)
            store(tile, task.classes, prob, where)
        if out.size > 0:
            _tile_gradient(tile, task, out, where)
    return status


@kernel(nogil=True)
def _tile_chunks(first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, task: Any) -> int:
    return _tiles(first, last, flat(sums), flat(x), flat(labels), flat(out), flat(prob), task, scratch(task, x))


@helper()
def _row_gradient(row: Any, kept: Any, total: float, top: Any, label: int, scale: float, out: Any) -> None:
    """Write the gradient of a row, whose exponentials are in `kept` or, where that is empty, in `out` already."""
    if label < 0:
        for j in range(out.size):
            out[j] = 0
        return
    e = exp(row[label] - top)
    if kept.size > 0:
        multiplied(kept, like(top, scale / total), out)
    else:
        multiply(out, like(top, scale / total))
    out[label] = stored((np.float64(e) / total - 1) * scale, out.dtype)


@helper()
def _rows(first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, task: Any) -> int:
    """Chunks that are rows of many classes."""
    room, logits = rooms(x, task.classes)
    marks, status = np.empty(1, np.int64), DONE
    kept, ahead = kept_in(prob, out), min(task.classes, AHEAD)
    for chunk in range(first, last):
        where = place(chunk, task)
        loss = 0.0
        for p in range(where.size):
            start, stop = where.base + p * task.classes, where.base + (p + 1) * task.classes
            row, softmax, gradient = numbers(x[start:stop], logits), prob[start:stop], out[start:stop]
            later, later_kept = x[start + ahead : stop + ahead], kept[start + ahead : stop + ahead]
            top = largest(row)
            total = exponentials(row, top, kept[start:stop] if kept.size > 0 else room, later, later_kept)
            status = max(status, mark(labels[where.label + p :], task.classes, task.ignore, marks))
            if marks[0] >= 0:
                loss += _capped(log(total) - (np.float64(row[marks[0]]) - np.float64(top)))
            if gradient.size > 0:
                _row_gradient(row, exponentials_of(softmax, room, out), total, top, marks[0], task.scale, gradient)
            if softmax.size > 0:
                multiply(softmax, like(top, 1 / total))
        sums[chunk] = loss
    return status


@kernel(nogil=True)
def _row_chunks(first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, task: Any) -> int:
    return _rows(first, last, flat(sums), flat(x), flat(labels), flat(out), flat(prob), task)


@kernel(nogil=False)
def _quick(
    x: Any, labels: Any, out: Any, prob: Any, inner: int, mode: int, ignore: int, top_diff: float
) -> tuple[float, int]:
    """The whole of a small problem, x as (outer, classes * inner)."""
    outer, classes = x.shape[0], x.shape[1] // inner
    if not 0 < x.size <= WIDE or labels.size != outer * inner or not (fits(out, x) and fits(prob, x)):
        return np.nan, UNFIT
    z = divisor(mode, outer, labels, ignore)
    task, sums = Task(outer, classes, inner, ignore, top_diff / z), partial_sums()[: chunks(outer, classes, inner)]
    room = scratch(task, sums)
    status = _tiles(0, sums.size, sums, flat(x), flat(labels), written(out, x), written(prob, x), task, room)
    return added(sums) / z, status


@helper()
def _scaled(source: Any, scale: float, room: Any, out: Any) -> None:
    """Write a run times the scale, by way of `room`: in place, one loop over both would not vectorise."""
    for start in range(0, source.size, room.size):
        part, into = source[start : start + room.size], out[start : start + room.size]
        for i in range(part.size):
            room[i] = part[i]
        for i in range(into.size):
            into[i] = stored(room[i] * scale, into.dtype)


@helper()
def _from_softmax(where: Any, task: Any, prob: Any, out: Any, marks: Any, chosen: Any, room: Any) -> None:
    """Write the gradient of a chunk from the softmax, which may be in `out` already."""
    softmax, gradient, classes = prob[where.base :], out[where.base :], task.classes
    for p in range(where.size):
        chosen[p] = softmax[max(0, marks[p]) * where.per_class + p * where.per_position]
    if where.per_class == 1:
        _scaled(softmax[: where.size * classes], task.scale, room, gradient[: where.size * classes])
    else:
        for c in range(classes):
            start, stop = c * where.per_class, c * where.per_class + where.size
            _scaled(softmax[start:stop], task.scale, room, gradient[start:stop])
    for p in range(where.size):
        if marks[p] >= 0:
            at = marks[p] * where.per_class + p * where.per_position
            gradient[at] = stored((chosen[p] - 1) * task.scale, out.dtype)
        else:
            for c in range(classes):
                gradient[c * where.per_class + p * where.per_position] = 0


@kernel(nogil=True)
def _softmax_chunks(first: int, last: int, sums: Any, prob: Any, labels: Any, out: Any, task: Any) -> int:
    softmax, gradient, flat_labels = flat(prob), flat(out), flat(labels)
    size = place(0, task).size
    room, chosen, marks, status = np.empty(BLOCK // 8), np.empty(size), np.empty(size, np.int64), DONE
    for chunk in range(first, last):
        where = place(chunk, task)
        status = max(status, mark(flat_labels[where.label :], task.classes, task.ignore, marks[: where.size]))
        _from_softmax(where, task, softmax, gradient, marks, chosen, room)
        sums[chunk] = 0
    return status


KERNELS = Kernels(_quick, _tile_chunks, _row_chunks, _softmax_chunks)


def softmax_with_loss(
    x: NDArray[Any],
    labels: NDArray[Any],
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: str = "VALID",
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    prob: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient and the softmax, if there are arrays to write them to.

    `x`: logits of a type of `refimpl.dtypes`, classes along `axis`. `labels`: numbers, truncated toward zero, one per
    position (as many as x has without `axis`), in any shape. `out` receives the gradient for the given `top_diff` (the
    top's diff, that is the weight), `prob` the softmax; both have the shape and dtype of `x` (of a half type the
    softmax is float32), and share no memory with it. `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch, an unknown
    `normalization`, and a label that is neither a class nor ignored (`out` and `prob` are then undefined).
    """
    if axis == 1:
        ignore = NO_LABEL if ignore_label is None else ignore_label
        loss, status = attempt(_quick, x, labels, out, prob, 1, MODES.get(normalization), ignore, top_diff)
        if status == DONE:
            return loss
    options = axis, ignore_label, normalization, top_diff
    return loss_of_logits(KERNELS, x, labels, None, options, out, prob, threads)


def backward(
    prob: NDArray[Any],
    labels: NDArray[Any],
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: str = "VALID",
    top_diff: float,
    out: NDArray[Any],
    threads: int | None = None,
) -> None:
    """The gradient alone, from the softmax that `softmax_with_loss` wrote; `out` may be `prob`. Otherwise as there."""
    options = axis, ignore_label, normalization, top_diff
    gradient_of_softmax(KERNELS, prob, labels, None, options, out, threads)
