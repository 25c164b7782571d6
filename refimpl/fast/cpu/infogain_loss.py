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

from refimpl.fast.cpu.arguments import (
    DOUBLE,
    MODES,
    NO_LABEL,
    SINGLE,
    Output,
    Positions,
    floats,
    ignored,
    integers,
    mode_of,
    refuse_labels,
    square,
)
from refimpl.fast.cpu.kernel import ADDING, BLOCK, WIDE, added, call, fits, flat, helper, kernel, written
from refimpl.fast.cpu.normaliser import divisor, divisor_of
from refimpl.fast.cpu.softmax import (
    by_rows,
    chunking,
    chunks,
    divided,
    exponentiate,
    largest,
    load,
    mark,
    multiply,
    place,
    row_exponentials,
    store,
)
from refimpl.fast.cpu.threads import spread
from refimpl.fast.scalar import like, log

__all__ = ["backward", "infogain_loss"]

LOG_FLOOR = math.log(float(np.float32(1e-20)))
"""The logarithm of kLOG_THRESHOLD."""


@helper()
def _tile_losses(
    tile: Any, classes: int, marks: Any, matrix: Any, top: Any, logs: Any, losses: Any, weights: Any
) -> float:
    """The sum of the losses of a tile of logits; `weights` gets the sum of each position's row of the matrix."""
    count = top.size
    for p in range(count):
        losses[p] = 0
        weights[p] = 0
    for c in range(classes):
        run = tile[c * count : (c + 1) * count]
        for p in range(count):
            row = marks[p] if marks[p] > 0 else 0
            weight = np.float64(matrix[np.uint64(row) * np.uint64(classes) + np.uint64(c)])
            logarithm = np.float64(run[p]) - np.float64(top[p]) - logs[p]
            losses[p] -= weight * (LOG_FLOOR if logarithm < LOG_FLOOR else logarithm)
            weights[p] += weight
    loss = 0.0
    for p in range(count):
        if marks[p] >= 0:
            loss += losses[p]
        elif marks[p] == -2:
            loss = np.nan
    return loss


@helper()
def _tile_gradient(tile: Any, classes: int, marks: Any, matrix: Any, factor: Any, scale: float) -> None:
    """Replace a tile of exponentials by the gradient, where `factor` is what makes them the first part of it."""
    count = factor.size
    for c in range(classes):
        run = tile[c * count : (c + 1) * count]
        for p in range(count):
            row = marks[p] if marks[p] > 0 else 0
            weight = np.float64(matrix[np.uint64(row) * np.uint64(classes) + np.uint64(c)])
            value = np.float64(run[p]) * factor[p] - weight * scale
            run[p] = value if marks[p] >= 0 else 0.0


@helper()
def _tiles(
    first: int,
    last: int,
    sums: Any,
    x: Any,
    labels: Any,
    matrix: Any,
    out: Any,
    prob: Any,
    form: Any,
    ignore: int,
    scale: float,
    room: Any,
    stats: Any,
) -> None:
    """Chunks that are tiles; `room` has space for two and two numbers per position, `stats` for four per position."""
    outer, classes, inner = form
    width = stats.size // 4
    marks = np.empty(width, np.int64)
    for chunk in range(first, last):
        base, label, count, per_class, per_position = place(chunk, outer, classes, inner)
        logits, tile = room[: classes * count], room[classes * count : 2 * classes * count]
        top, total = (
            room[2 * classes * count : (2 * classes + 1) * count],
            room[(2 * classes + 1) * count : (2 * classes + 2) * count],
        )
        logs, losses = stats[:count], stats[width : width + count]
        weights, factor = stats[2 * width : 2 * width + count], stats[3 * width : 3 * width + count]
        load(x, base, per_class, per_position, classes, logits, top)
        for i in range(tile.size):
            tile[i] = logits[i]
        exponentiate(tile, classes, top, total, logs)
        mark(labels[label : label + count], classes, ignore, marks[:count])
        sums[chunk] = _tile_losses(logits, classes, marks, matrix, top, logs, losses, weights)
        if prob.size > 0:
            divided(1.0, total, factor)
            store(tile, classes, factor, prob, base, per_class, per_position)
        if out.size > 0:
            for p in range(count):
                factor[p] = weights[p] * scale / total[p]
            _tile_gradient(tile, classes, marks, matrix, factor, scale)
            for p in range(count):
                factor[p] = 1
            store(tile, classes, factor, out, base, per_class, per_position)


@helper(**ADDING)
def _row_loss(row: Any, weights: Any, top: float, logarithm: float) -> tuple[float, float]:
    """The loss of a row of logits, and the sum of the weights of its classes."""
    loss, total = 0.0, 0.0
    for j in range(row.size):
        weight = np.float64(weights[j])
        value = np.float64(row[j]) - top - logarithm
        loss -= weight * (LOG_FLOOR if value < LOG_FLOOR else value)
        total += weight
    return loss, total


@helper()
def _row_gradient(kept: Any, weights: Any, factor: float, scale: float, out: Any) -> None:
    """Write the gradient of a row, whose exponentials are in `kept` or, where that is empty, in `out` already."""
    if kept.size > 0:
        for j in range(out.size):
            out[j] = np.float64(kept[j]) * factor - np.float64(weights[j]) * scale
    else:
        for j in range(out.size):
            out[j] = np.float64(out[j]) * factor - np.float64(weights[j]) * scale


@helper()
def _rows(
    first: int,
    last: int,
    sums: Any,
    x: Any,
    labels: Any,
    matrix: Any,
    out: Any,
    prob: Any,
    form: Any,
    ignore: int,
    scale: float,
) -> None:
    outer, classes, inner = form
    room, marks = np.empty(BLOCK // x.itemsize, x.dtype), np.empty(1, np.int64)
    for chunk in range(first, last):
        base, label, count = place(chunk, outer, classes, inner)[:3]
        loss = 0.0
        for p in range(count):
            start, stop = base + p * classes, base + (p + 1) * classes
            row, softmax, gradient = x[start:stop], prob[start:stop], out[start:stop]
            top = largest(row)
            total = row_exponentials(row, top, softmax if softmax.size > 0 else gradient if gradient.size > 0 else room)
            mark(labels[label + p : label + p + 1], classes, ignore, marks)
            if marks[0] >= 0:
                weights = matrix[marks[0] * classes : (marks[0] + 1) * classes]
                part, weight = _row_loss(row, weights, np.float64(top), log(total))
                loss += part
                if gradient.size > 0:
                    _row_gradient(softmax, weights, weight * scale / total, scale, gradient)
            else:
                loss = np.nan if marks[0] == -2 else loss
                for j in range(gradient.size):
                    gradient[j] = 0
            if softmax.size > 0:
                multiply(softmax, like(top, 1 / total))
        sums[chunk] = loss


@kernel(nogil=True)
def _tile_chunks(
    first: int,
    last: int,
    sums: Any,
    x: Any,
    labels: Any,
    matrix: Any,
    out: Any,
    prob: Any,
    form: Any,
    ignore: int,
    scale: float,
) -> None:
    width = chunking(form[0], form[1], form[2])[0]
    room, stats = np.empty((2 * form[1] + 2) * width, x.dtype), np.empty(4 * width)
    arrays = flat(sums), flat(x), flat(labels), flat(matrix), flat(out), flat(prob)
    _tiles(first, last, *arrays, form, ignore, scale, room, stats)


@kernel(nogil=True)
def _row_chunks(
    first: int,
    last: int,
    sums: Any,
    x: Any,
    labels: Any,
    matrix: Any,
    out: Any,
    prob: Any,
    form: Any,
    ignore: int,
    scale: float,
) -> None:
    _rows(first, last, flat(sums), flat(x), flat(labels), flat(matrix), flat(out), flat(prob), form, ignore, scale)


@kernel(nogil=False)
def _quick(
    x: Any, labels: Any, matrix: Any, out: Any, prob: Any, inner: int, mode: int, ignore: int, top_diff: float
) -> float:
    """The whole of a small problem, x as (outer, classes * inner); NaN also for arguments that do not fit together."""
    outer, classes = x.shape[0], x.shape[1] // inner
    agree = labels.size == outer * inner and matrix.size == classes * classes
    if x.size == 0 or not (agree and fits(out, x) and fits(prob, x)):
        return np.nan
    width = chunking(outer, classes, inner)[0]
    sums, room, stats = (
        np.empty(chunks(outer, classes, inner)),
        np.empty((2 * classes + 2) * width),
        np.empty(4 * width),
    )
    z = divisor(mode, outer, labels, ignore)
    arrays = flat(x), flat(labels), flat(matrix), written(out, x), written(prob, x)
    _tiles(0, sums.size, sums, *arrays, (outer, classes, inner), ignore, top_diff / z, room, stats)
    return added(sums) / z


@helper()
def _from_softmax(
    first: int,
    last: int,
    labels: Any,
    matrix: Any,
    prob: Any,
    out: Any,
    form: Any,
    ignore: int,
    scale: float,
    room: Any,
) -> None:
    """Write the gradient, chunk by chunk, from the softmax, which may be in `out` already."""
    outer, classes, inner = form
    width = chunking(outer, classes, inner)[0]
    weights, marks = np.empty(width), np.empty(width, np.int64)
    for chunk in range(first, last):
        base, label, count, per_class, per_position = place(chunk, outer, classes, inner)
        tile, one, factor = room[: classes * count], room[classes * width : classes * width + count], weights[:count]
        load(prob, base, per_class, per_position, classes, tile, one)
        mark(labels[label : label + count], classes, ignore, marks[:count])
        for p in range(count):
            one[p], factor[p] = 1, 0
            for c in range(classes):
                factor[p] += np.float64(matrix[(marks[p] if marks[p] > 0 else 0) * classes + c]) * scale
        _tile_gradient(tile, classes, marks, matrix, factor, scale)
        store(tile, classes, one, out, base, per_class, per_position)


@kernel(nogil=True)
def _softmax_chunks(
    first: int,
    last: int,
    sums: Any,
    labels: Any,
    matrix: Any,
    prob: Any,
    out: Any,
    form: Any,
    ignore: int,
    scale: float,
) -> None:
    for chunk in range(first, last):
        sums[chunk] = 0
    room = np.empty((form[1] + 1) * chunking(form[0], form[1], form[2])[0], prob.dtype)
    _from_softmax(first, last, flat(labels), flat(matrix), flat(prob), flat(out), form, ignore, scale, room)


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

    `x`: logits, float32 or float64, classes along `axis`. `labels`: numbers, truncated toward zero, one per position
    (as many as x has without `axis`), in any shape. `matrix`: classes * classes weights of the dtype of x, a row per
    label, in any shape. `out` receives the gradient for the given `top_diff` (the top's diff, that is the weight),
    `prob` the softmax; both have the shape and dtype of `x`, and share no memory with it. `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch, an unknown
    `normalization`, and a label that is neither a class nor ignored (`out` and `prob` are then undefined).
    """
    try:
        dtype, kind = x.dtype, labels.dtype
        native = (dtype is SINGLE or dtype is DOUBLE) and (kind is dtype or kind.isnative) and matrix.dtype is dtype
        if (
            native
            and x.ndim == 2
            and axis == 1
            and x.size <= WIDE
            and (out is None or out.dtype is dtype)
            and (prob is None or prob.dtype is dtype)
        ):
            ignore = NO_LABEL if ignore_label is None else ignore_label
            loss = _quick(x, labels, matrix, out, prob, 1, MODES[normalization], ignore, top_diff)
            if loss == loss:
                return loss
    except (AttributeError, KeyError, TypeError):
        pass
    return _careful(
        x, labels, matrix, axis, ignored(ignore_label), mode_of(normalization), float(top_diff), out, prob, threads
    )


def _careful(
    x: Any,
    labels: Any,
    matrix: Any,
    axis: int,
    ignore: int,
    mode: int,
    top_diff: float,
    out: Any,
    prob: Any,
    threads: int | None,
) -> float:
    x = floats(x, "x")
    labels = integers(labels, "labels", x)
    positions = Positions(x.shape, axis)
    positions.check_labels(labels)
    matrix = square(matrix, positions.classes, x)
    gradient, softmax = Output(out, "out", x), Output(prob, "prob", x)
    outer, classes, inner = positions.form
    if x.size <= WIDE:
        rows = outer, classes * inner
        outputs = gradient.shaped(*rows), softmax.shaped(*rows)
        loss = call(_quick, x.reshape(rows), labels, matrix, *outputs, inner, mode, ignore, top_diff)
    else:
        z = divisor_of(mode, outer, labels, ignore, threads)
        kernel = _row_chunks if by_rows(classes, inner) else _tile_chunks
        work = (
            x.reshape(-1),
            labels,
            matrix.reshape(-1),
            gradient.flat,
            softmax.flat,
            positions.form,
            ignore,
            top_diff / z,
        )
        loss = spread(kernel, chunks(*positions.form), x.size, threads, *work) / z
    if math.isnan(loss):
        refuse_labels(labels, classes, positions.shape, ignore)
    gradient.finish()
    softmax.finish()
    return float(loss)


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
    """The gradient alone, from the softmax that `infogain_loss` wrote; `out` may be `prob` itself. Otherwise as there."""
    ignore, mode = ignored(ignore_label), mode_of(normalization)
    prob = floats(prob, "prob")
    labels = integers(labels, "labels", prob)
    positions = Positions(prob.shape, axis)
    positions.check_labels(labels)
    matrix = square(matrix, positions.classes, prob)
    refuse_labels(labels, positions.classes, positions.shape, ignore)
    gradient = Output(out, "out", prob)
    scale = float(top_diff) / divisor_of(mode, positions.outer, labels, ignore, threads)
    work = labels, matrix.reshape(-1), prob.reshape(-1), gradient.flat, positions.form, ignore, scale
    spread(_softmax_chunks, chunks(*positions.form), prob.size, threads, *work)
    gradient.finish()
