# mypy: disable-error-code="no-any-return, untyped-decorator"
"""InfogainLoss on a CPU (``src/caffe/layers/infogain_loss_layer.cpp``).

``L = -sum_l H[y, l] log(max(p_l, 1e-20)) / Z`` summed over the counted positions, p the softmax of the logits and y the
label; ``dL/dx_l = w (p_l sum_k H[y, k] - H[y, l]) / Z`` there, also where the logarithm is at its floor, and 0
elsewhere. The floor is a float in Caffe, whatever the type of the net.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.dtypes import FLOAT
from refimpl.fast.cpu.arguments import MODES, NO_LABEL
from refimpl.fast.cpu.kernel import (
    ADDING,
    DONE,
    UNFIT,
    WIDE,
    added,
    attempt,
    fits,
    flat,
    helper,
    kernel,
    native,
    partial_sums,
    written,
)
from refimpl.fast.cpu.logits import Kernels, gradient_of_softmax, loss_of_logits
from refimpl.fast.cpu.normaliser import divisor
from refimpl.fast.cpu.prefetch import AHEAD
from refimpl.fast.cpu.softmax import (
    PART,
    Task,
    chunks,
    cut,
    divide,
    exponentials,
    exponentials_of,
    exponentiate,
    kept_in,
    largest,
    load,
    mark,
    multiply,
    place,
    rooms,
    scratch,
    store,
)
from refimpl.fast.scalar import like, log
from refimpl.fast.stored import number, numbers, stored

__all__ = ["backward", "infogain_loss"]

LOG_FLOOR = math.log(float(FLOAT.rounded(1e-20)))
"""The logarithm of kLOG_THRESHOLD."""


@helper()
def _weigh(marks: Any, classes: int, matrix: Any, weights: Any, sums: Any) -> None:
    """Gather H[label, c] for every class and position of a tile (of the first row, where there is no label), and add up
    every position."""
    count = marks.size
    for p in range(count):
        row = marks[p] if marks[p] > 0 else 0
        of_label = matrix[row * classes : (row + 1) * classes]
        total = 0.0
        for c in range(classes):
            weight = np.float64(number(of_label[c]))
            weights[c * count + p] = weight
            total += weight
        sums[p] = total


@helper()
def _tile_losses(tile: Any, logits: Any, classes: int, weights: Any, losses: Any) -> float:
    """The sum of the losses of a tile."""
    count, marks, top, logs = tile.marks.size, tile.marks, tile.top, tile.logs
    for p in range(count):
        losses[p] = 0
    for c in range(classes):
        run, of_class = logits[c * count : (c + 1) * count], weights[c * count : (c + 1) * count]
        for p in range(count):
            logarithm = np.float64(run[p]) - np.float64(top[p]) - logs[p]
            losses[p] -= of_class[p] * (LOG_FLOOR if logarithm < LOG_FLOOR else logarithm)
    loss = 0.0
    for p in range(count):
        if marks[p] >= 0:
            loss += losses[p]
    return loss


@helper()
def _tile_gradient(tile: Any, task: Any, weights: Any, shares: Any, out: Any, where: Any) -> None:
    """Write the gradient of a tile, whose values times `shares` are its first part."""
    count, marks = where.size, tile.marks
    for c in range(task.classes):
        run, of_class = tile.values[c * count : (c + 1) * count], weights[c * count : (c + 1) * count]
        for p in range(count):
            value = np.float64(run[p]) * shares[p] - of_class[p] * task.scale
            run[p] = value if marks[p] >= 0 else 0.0
    for p in range(count):
        tile.factor[p] = 1
    store(tile, task.classes, out, where)


@helper()
def _tiles(
    first: int, last: int, sums: Any, x: Any, labels: Any, matrix: Any, out: Any, prob: Any, task: Any, room: Any
) -> int:
    """Chunks that are tiles."""
    status = DONE
    weights, logits = np.empty(room.values.size), np.empty(room.values.size)
    losses, shares = np.empty(room.top.size), np.empty(room.top.size)
    for chunk in range(first, last):
        where = place(chunk, task)
        tile = cut(room, task.classes, where.size)
        load(x, where, task.classes, tile)
        status = max(status, mark(labels[where.label :], task.classes, task.ignore, tile.marks))
        _weigh(tile.marks, task.classes, matrix, weights, shares)
        for i in range(tile.values.size):
            logits[i] = tile.values[i]
        exponentiate(tile, task.classes)
        sums[chunk] = _tile_losses(tile, logits, task.classes, weights, losses)
        if prob.size > 0:
            divide(1.0, tile.total, tile.factor)
            store(tile, task.classes, prob, where)
        if out.size > 0:
            for p in range(where.size):
                shares[p] *= task.scale / tile.total[p]
            _tile_gradient(tile, task, weights, shares, out, where)
    return status


@kernel(nogil=True)
def _tile_chunks(
    first: int, last: int, sums: Any, x: Any, labels: Any, matrix: Any, out: Any, prob: Any, task: Any
) -> int:
    arrays = flat(sums), flat(x), flat(labels), flat(matrix), flat(out), flat(prob)
    return _tiles(first, last, *arrays, task, scratch(task, x))


@helper()
def _logarithm(x: Any, top: Any, logarithm: Any, floor: Any) -> Any:
    """The logarithm of a probability. In this order: top and logarithm added up first would lose what x - top has."""
    value = (x - top) - logarithm
    return floor if value < floor else value


@helper(**ADDING)
def _part_loss(row: Any, weights: Any, top: Any, logarithm: Any, floor: Any) -> tuple[Any, Any]:
    loss, total = like(top, 0), like(top, 0)
    for j in range(row.size):
        loss -= number(weights[j]) * _logarithm(row[j], top, logarithm, floor)
        total += number(weights[j])
    return loss, total


@helper()
def _row_loss(row: Any, weights: Any, top: Any, logarithm: float) -> tuple[float, float]:
    """The loss of a row of logits, and the sum of the weights of its classes: parts in the row's type, sums of parts in
    float64."""
    loss, total = 0.0, 0.0
    for start in range(0, row.size, PART):
        part, of_part = row[start : start + PART], weights[start : start + PART]
        terms, weight = _part_loss(part, of_part, top, like(top, logarithm), like(top, LOG_FLOOR))
        loss += np.float64(terms)
        total += np.float64(weight)
    return loss, total


@helper()
def _row_gradient(kept: Any, weights: Any, share: Any, scale: Any, out: Any) -> None:
    """Write the gradient of a row, whose exponentials are in `kept` or, where that is empty, in `out` already."""
    if kept.size > 0:
        for j in range(out.size):
            out[j] = stored(kept[j] * share - number(weights[j]) * scale, out.dtype)
    else:
        for j in range(out.size):
            out[j] = stored(number(out[j]) * share - number(weights[j]) * scale, out.dtype)


@helper()
def _rows(first: int, last: int, sums: Any, x: Any, labels: Any, matrix: Any, out: Any, prob: Any, task: Any) -> int:
    """Chunks that are rows of many classes."""
    marks, classes, status = np.empty(1, np.int64), task.classes, DONE
    room, logits = rooms(x, classes)
    kept, ahead = kept_in(prob, out), min(classes, AHEAD)
    for chunk in range(first, last):
        where = place(chunk, task)
        loss = 0.0
        for p in range(where.size):
            start, stop = where.base + p * classes, where.base + (p + 1) * classes
            row, softmax, gradient = numbers(x[start:stop], logits), prob[start:stop], out[start:stop]
            later, later_kept = x[start + ahead : stop + ahead], kept[start + ahead : stop + ahead]
            top = largest(row)
            total = exponentials(row, top, kept[start:stop] if kept.size > 0 else room, later, later_kept)
            status = max(status, mark(labels[where.label + p :], classes, task.ignore, marks))
            if marks[0] >= 0:
                weights = matrix[marks[0] * classes : (marks[0] + 1) * classes]
                part, weight = _row_loss(row, weights, top, log(total))
                loss += part
                share, scale = like(top, weight * task.scale / total), like(top, task.scale)
                _row_gradient(exponentials_of(softmax, room, out), weights, share, scale, gradient)
            else:
                for j in range(gradient.size):
                    gradient[j] = 0
            if softmax.size > 0:
                multiply(softmax, like(top, 1 / total))
        sums[chunk] = loss
    return status


@kernel(nogil=True)
def _row_chunks(
    first: int, last: int, sums: Any, x: Any, labels: Any, matrix: Any, out: Any, prob: Any, task: Any
) -> int:
    return _rows(first, last, flat(sums), flat(x), flat(labels), flat(matrix), flat(out), flat(prob), task)


@kernel(nogil=False)
def _quick(
    x: Any, labels: Any, out: Any, prob: Any, matrix: Any, inner: int, mode: int, ignore: int, top_diff: float
) -> tuple[float, int]:
    """The whole of a small problem, x as (outer, classes * inner)."""
    outer, classes = x.shape[0], x.shape[1] // inner
    agree = labels.size == outer * inner and matrix.size == classes * classes
    if not 0 < x.size <= WIDE or not (agree and fits(out, x) and fits(prob, x)):
        return np.nan, UNFIT
    z = divisor(mode, outer, labels, ignore)
    task, sums = Task(outer, classes, inner, ignore, top_diff / z), partial_sums()[: chunks(outer, classes, inner)]
    arrays = flat(x), flat(labels), flat(matrix), written(out, x), written(prob, x)
    status = _tiles(0, sums.size, sums, *arrays, task, scratch(task, sums))
    return added(sums) / z, status


@kernel(nogil=True)
def _softmax_chunks(first: int, last: int, sums: Any, prob: Any, labels: Any, matrix: Any, out: Any, task: Any) -> int:
    """`out` may be `prob`."""
    softmax, gradient, flat_labels, rows = flat(prob), flat(out), flat(labels), flat(matrix)
    room = scratch(task, prob)
    weights, status = np.empty(room.values.size), DONE
    for chunk in range(first, last):
        where = place(chunk, task)
        tile = cut(room, task.classes, where.size)
        load(softmax, where, task.classes, tile)
        status = max(status, mark(flat_labels[where.label :], task.classes, task.ignore, tile.marks))
        _weigh(tile.marks, task.classes, rows, weights, tile.logs)
        sums[chunk] = 0
        for p in range(where.size):
            tile.logs[p] *= task.scale
        _tile_gradient(tile, task, weights, tile.logs, gradient, where)
    return status


KERNELS = Kernels(_quick, _tile_chunks, _row_chunks, _softmax_chunks)


def infogain_loss(
    x: NDArray[Any],
    labels: NDArray[Any],
    matrix: NDArray[Any],
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
    position (as many as x has without `axis`), in any shape. `matrix`: classes * classes weights of the dtype of x, a
    row per label, in any shape. `out` receives the gradient for the given `top_diff` (the top's diff, that is the
    weight), `prob` the softmax; both have the shape and dtype of `x` (of a half type the softmax is float32), and share
    no memory with it. `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch, an unknown
    `normalization`, and a label that is neither a class nor ignored (`out` and `prob` are then undefined).
    """
    if axis == 1 and native(matrix):
        ignore = NO_LABEL if ignore_label is None else ignore_label
        loss, status = attempt(_quick, x, labels, out, prob, matrix, 1, MODES.get(normalization), ignore, top_diff)
        if status == DONE:
            return loss
    options = axis, ignore_label, normalization, top_diff
    return loss_of_logits(KERNELS, x, labels, matrix, options, out, prob, threads)


def backward(
    prob: NDArray[Any],
    labels: NDArray[Any],
    matrix: NDArray[Any],
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: str = "VALID",
    top_diff: float,
    out: NDArray[Any],
    threads: int | None = None,
) -> None:
    """The gradient alone, from the softmax that `infogain_loss` wrote; `out` may be `prob`. Otherwise as there."""
    options = axis, ignore_label, normalization, top_diff
    gradient_of_softmax(KERNELS, prob, labels, matrix, options, out, threads)
