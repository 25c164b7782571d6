# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SoftmaxWithLoss on a CPU (``src/caffe/layers/softmax_loss_layer.cpp``).

``L = sum min(log sum_j exp x_j - x_label, -log FLT_MIN) / Z`` over the counted positions, which is Caffe's -log
max(p_label, FLT_MIN); ``dL/dx_i = w (p_i - [i = label]) / Z``, also where the loss is capped, and 0 at ignored
positions.
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
)
from refimpl.fast.cpu.kernel import BLOCK, WIDE, added, call, fits, flat, helper, kernel, written
from refimpl.fast.cpu.normaliser import divisor, divisor_of
from refimpl.fast.cpu.softmax import (
    by_rows,
    chunking,
    chunks,
    clear,
    divided,
    exponentiate,
    largest,
    load,
    mark,
    multiplied,
    multiply,
    place,
    row_exponentials,
    store,
)
from refimpl.fast.cpu.threads import spread
from refimpl.fast.scalar import exp, like, log

__all__ = ["backward", "softmax_with_loss"]

CAP = 87.33654475055310898657
"""-log FLT_MIN: the loss of a position whose label has probability 0, in float64 as well."""


@helper()
def _capped(loss: float) -> float:
    """NaN stays NaN."""
    return CAP if loss > CAP else loss


@helper()
def _tile_losses(x: Any, base: int, per_class: int, per_position: int, marks: Any, top: Any, logs: Any) -> float:
    """The sum of the losses of a tile's positions; NaN if a label is no class."""
    logits = x[base:]
    loss = 0.0
    for p in range(top.size):
        if marks[p] >= 0:
            loss += _capped(
                logs[p] - (np.float64(logits[marks[p] * per_class + p * per_position]) - np.float64(top[p]))
            )
        elif marks[p] == -2:
            loss = np.nan
    return loss


@helper()
def _tile_gradient(
    tile: Any,
    classes: int,
    marks: Any,
    factor: Any,
    scale: float,
    out: Any,
    base: int,
    per_class: int,
    per_position: int,
) -> None:
    """Write the gradient of a tile of exponentials, where `factor` is the scale over their sum."""
    count = factor.size
    store(tile, classes, factor, out, base, per_class, per_position)
    gradient = out[base:]
    for p in range(count):
        if marks[p] >= 0:
            share = np.float64(tile[marks[p] * count + p]) * np.float64(factor[p])
            gradient[marks[p] * per_class + p * per_position] = share - scale


@helper()
def _tiles(
    first: int,
    last: int,
    sums: Any,
    x: Any,
    labels: Any,
    out: Any,
    prob: Any,
    form: Any,
    ignore: int,
    scale: float,
    room: Any,
    logs: Any,
) -> None:
    """Chunks that are tiles; `room` has space for one and three numbers per position, `logs` for one per position."""
    outer, classes, inner = form
    marks = np.empty(logs.size, np.int64)
    for chunk in range(first, last):
        base, label, count, per_class, per_position = place(chunk, outer, classes, inner)
        tile, top = room[: classes * count], room[classes * count : (classes + 1) * count]
        total, factor = (
            room[(classes + 1) * count : (classes + 2) * count],
            room[(classes + 2) * count : (classes + 3) * count],
        )
        load(x, base, per_class, per_position, classes, tile, top)
        exponentiate(tile, classes, top, total, logs)
        mark(labels[label : label + count], classes, ignore, marks[:count])
        sums[chunk] = _tile_losses(x, base, per_class, per_position, marks, top, logs)
        if prob.size > 0:
            divided(1.0, total, factor)
            store(tile, classes, factor, prob, base, per_class, per_position)
        if out.size > 0:
            divided(scale, total, factor)
            if ignore != NO_LABEL:
                clear(tile, classes, marks[:count], factor)
            _tile_gradient(tile, classes, marks, factor, scale, out, base, per_class, per_position)


@kernel(nogil=True)
def _tile_chunks(
    first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, form: Any, ignore: int, scale: float
) -> None:
    width = chunking(form[0], form[1], form[2])[0]
    room = np.empty((form[1] + 3) * width, x.dtype)
    _tiles(
        first,
        last,
        flat(sums),
        flat(x),
        flat(labels),
        flat(out),
        flat(prob),
        form,
        ignore,
        scale,
        room,
        np.empty(width),
    )


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
    out[label] = (np.float64(e) / total - 1) * scale


@helper()
def _rows(
    first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, form: Any, ignore: int, scale: float
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
            kept = softmax if softmax.size > 0 else gradient if gradient.size > 0 else room
            total = row_exponentials(row, top, kept)
            mark(labels[label + p : label + p + 1], classes, ignore, marks)
            if marks[0] >= 0:
                loss += _capped(log(total) - (np.float64(row[marks[0]]) - np.float64(top)))
            elif marks[0] == -2:
                loss = np.nan
            if gradient.size > 0:
                _row_gradient(row, softmax, total, top, marks[0], scale, gradient)
            if softmax.size > 0:
                multiply(softmax, like(top, 1 / total))
        sums[chunk] = loss


@kernel(nogil=True)
def _row_chunks(
    first: int, last: int, sums: Any, x: Any, labels: Any, out: Any, prob: Any, form: Any, ignore: int, scale: float
) -> None:
    _rows(first, last, flat(sums), flat(x), flat(labels), flat(out), flat(prob), form, ignore, scale)


@kernel(nogil=False)
def _quick(x: Any, labels: Any, out: Any, prob: Any, inner: int, mode: int, ignore: int, top_diff: float) -> float:
    """The whole of a small problem, x as (outer, classes * inner); NaN also for arguments that do not fit together."""
    outer, classes = x.shape[0], x.shape[1] // inner
    if x.size == 0 or labels.size != outer * inner or not (fits(out, x) and fits(prob, x)):
        return np.nan
    width = chunking(outer, classes, inner)[0]
    sums, room, logs = np.empty(chunks(outer, classes, inner)), np.empty((classes + 3) * width), np.empty(width)
    z = divisor(mode, outer, labels, ignore)
    arrays = flat(x), flat(labels), written(out, x), written(prob, x)
    _tiles(0, sums.size, sums, *arrays, (outer, classes, inner), ignore, top_diff / z, room, logs)
    return added(sums) / z


@helper()
def _scaled(source: Any, scale: float, room: Any, out: Any) -> None:
    """Write a run times the scale, by way of `room`: `out` may be the source, which one loop over both would not
    vectorise."""
    for start in range(0, source.size, room.size):
        part, into = source[start : start + room.size], out[start : start + room.size]
        for i in range(part.size):
            room[i] = part[i]
        for i in range(into.size):
            into[i] = room[i] * scale


@helper()
def _from_softmax(
    first: int, last: int, labels: Any, prob: Any, out: Any, form: Any, ignore: int, scale: float
) -> None:
    """Write the gradient, chunk by chunk, from the softmax, which may be in `out` already."""
    outer, classes, inner = form
    width = chunking(outer, classes, inner)[0]
    room, chosen, marks = np.empty(BLOCK // 8), np.empty(width), np.empty(width, np.int64)
    for chunk in range(first, last):
        base, label, count, per_class, per_position = place(chunk, outer, classes, inner)
        mark(labels[label : label + count], classes, ignore, marks[:count])
        for p in range(count):
            chosen[p] = prob[base + (marks[p] if marks[p] > 0 else 0) * per_class + p * per_position]
        if inner == 1:
            _scaled(prob[base : base + count * classes], scale, room, out[base : base + count * classes])
        else:
            for c in range(classes):
                start = base + c * per_class
                _scaled(prob[start : start + count], scale, room, out[start : start + count])
        for p in range(count):
            if marks[p] >= 0:
                out[base + marks[p] * per_class + p * per_position] = (chosen[p] - 1) * scale
            else:
                for c in range(classes):
                    out[base + c * per_class + p * per_position] = 0


@kernel(nogil=True)
def _softmax_chunks(
    first: int, last: int, sums: Any, labels: Any, prob: Any, out: Any, form: Any, ignore: int, scale: float
) -> None:
    for chunk in range(first, last):
        sums[chunk] = 0
    _from_softmax(first, last, flat(labels), flat(prob), flat(out), form, ignore, scale)


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

    `x`: logits, float32 or float64, classes along `axis`. `labels`: numbers, truncated toward zero, one per position
    (as many as x has without `axis`), in any shape. `out` receives the gradient for the given `top_diff` (the top's
    diff, that is the weight), `prob` the softmax; both have the shape and dtype of `x`, and share no memory with it.
    `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch, an unknown
    `normalization`, and a label that is neither a class nor ignored (`out` and `prob` are then undefined).
    """
    try:
        dtype, kind = x.dtype, labels.dtype
        native = (dtype is SINGLE or dtype is DOUBLE) and (kind is dtype or kind.isnative)
        if (
            native
            and x.ndim == 2
            and axis == 1
            and x.size <= WIDE
            and (out is None or out.dtype is dtype)
            and (prob is None or prob.dtype is dtype)
        ):
            ignore = NO_LABEL if ignore_label is None else ignore_label
            loss = _quick(x, labels, out, prob, 1, MODES[normalization], ignore, top_diff)
            if loss == loss:
                return loss
    except (AttributeError, KeyError, TypeError):
        pass
    return _careful(x, labels, axis, ignored(ignore_label), mode_of(normalization), float(top_diff), out, prob, threads)


def _careful(
    x: Any, labels: Any, axis: int, ignore: int, mode: int, top_diff: float, out: Any, prob: Any, threads: int | None
) -> float:
    x = floats(x, "x")
    labels = integers(labels, "labels", x)
    positions = Positions(x.shape, axis)
    positions.check_labels(labels)
    gradient, softmax = Output(out, "out", x), Output(prob, "prob", x)
    outer, classes, inner = positions.form
    if x.size <= WIDE:
        rows = outer, classes * inner
        loss = call(
            _quick,
            x.reshape(rows),
            labels,
            gradient.shaped(*rows),
            softmax.shaped(*rows),
            inner,
            mode,
            ignore,
            top_diff,
        )
    else:
        z = divisor_of(mode, outer, labels, ignore, threads)
        kernel = _row_chunks if by_rows(classes, inner) else _tile_chunks
        work = x.reshape(-1), labels, gradient.flat, softmax.flat, positions.form, ignore, top_diff / z
        loss = spread(kernel, chunks(*positions.form), x.size, threads, *work) / z
    if math.isnan(loss):
        refuse_labels(labels, classes, positions.shape, ignore)
    gradient.finish()
    softmax.finish()
    return float(loss)


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
    """The gradient alone, from the softmax that `softmax_with_loss` wrote; `out` may be `prob` itself. Otherwise as
    there."""
    ignore, mode = ignored(ignore_label), mode_of(normalization)
    prob = floats(prob, "prob")
    labels = integers(labels, "labels", prob)
    positions = Positions(prob.shape, axis)
    positions.check_labels(labels)
    refuse_labels(labels, positions.classes, positions.shape, ignore)
    gradient = Output(out, "out", prob)
    scale = float(top_diff) / divisor_of(mode, positions.outer, labels, ignore, threads)
    work = labels, prob.reshape(-1), gradient.flat, positions.form, ignore, scale
    spread(_softmax_chunks, chunks(*positions.form), prob.size, threads, *work)
    gradient.finish()
