# mypy: disable-error-code="no-any-return, untyped-decorator"
"""What the kernels of SoftmaxWithLoss and InfogainLoss share: a softmax along one axis, tile by tile or row by row.

Logits are a flat array of the form (outer, classes, inner); a *position* is one place of outer and inner. Where there
are few classes, or the classes of a position lie apart (inner > 1), many positions side by side fill the lanes of a
vector: a *tile* of them is copied to a scratch array, class after class, so that the strides of the input are walked
once. Rows of many classes (inner = 1, more than `NARROW` of them) are worked on where they are.

Problems of at most `WIDE` entries are computed in float64 whatever their type: it costs next to nothing there, and a
float32 result is then the exact one, rounded once or twice. Larger ones are computed in their own type, with sums over
positions in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from refimpl.fast.cpu.kernel import ADDING, CHUNK, DONE, WRONG_LABEL, helper
from refimpl.fast.cpu.prefetch import claim, fetch
from refimpl.fast.scalar import FLAGS, INLINED, SINGLE, SINGLE_TYPE, exp, like, log, truncated
from refimpl.fast.stored import narrow, number, stored, working
from refimpl.layers.softmax import softmax_gradient

__all__ = [
    "PART",
    "Task",
    "backward",
    "by_rows",
    "chunks",
    "clear",
    "cut",
    "divide",
    "exponentials",
    "exponentials_of",
    "exponentiate",
    "kept_in",
    "largest",
    "load",
    "mark",
    "multiplied",
    "multiply",
    "place",
    "rooms",
    "scratch",
    "store",
]

NARROW = 64
"""Rows of at most this many classes go by tiles."""

TILE = 8192
"""About how many entries make a tile: its scratch array stays in the first or second level cache."""

PART = 256
"""Entries of a row whose exponentials are added up in the row's own type."""

LANES = 64
"""A tile has a multiple of this many positions, if there are as many: what an unrolled vector loop takes at once."""


class Task(NamedTuple):
    """What a kernel has to know beside its arrays; `scale` is the top's diff over the normaliser."""

    outer: int
    classes: int
    inner: int
    ignore: int
    scale: float


class Place(NamedTuple):
    """Where a chunk is: its first logit, its first label, its positions, the steps to the next class and position."""

    base: int
    label: int
    size: int
    per_class: int
    per_position: int


class Tile(NamedTuple):
    """Scratch arrays for a tile: its values, class after class, and for every position: the largest logit, the sum of
    exponentials, a factor, the logarithm of the sum (float64), and the label's class (see `mark`)."""

    values: Any
    top: Any
    total: Any
    factor: Any
    logs: Any
    marks: Any


@register_jitable
def by_rows(classes: int, inner: int) -> bool:
    """Whether positions are worked on one row at a time."""
    return inner == 1 and classes > NARROW


@register_jitable
def width(outer: int, classes: int, inner: int) -> int:
    """How many positions make a chunk. They are equally far apart: all rows, or the inner ones of one outer."""
    positions = outer if inner == 1 else inner
    most = CHUNK // classes + 1 if by_rows(classes, inner) else (TILE // classes // LANES + 1) * LANES
    return positions if positions < most else most


@register_jitable
def chunks(outer: int, classes: int, inner: int) -> int:
    """How many chunks there are."""
    size = width(outer, classes, inner)
    return (outer + size - 1) // size if inner == 1 else outer * ((inner + size - 1) // size)


@helper()
def place(chunk: int, task: Task) -> Place:
    """Where a chunk is."""
    outer, classes, inner = task.outer, task.classes, task.inner
    size = width(outer, classes, inner)
    if inner == 1:
        start = chunk * size
        return Place(start * classes, start, min(size, outer - start), 1, classes)
    each = (inner + size - 1) // size
    group, start = chunk // each, chunk % each * size
    return Place(group * classes * inner + start, group * inner + start, min(size, inner - start), inner, 1)


@helper()
def scratch(task: Task, kind: Any) -> Tile:
    """Scratch arrays for the largest tile of a task, to compute in the type of `kind`."""
    size = width(task.outer, task.classes, task.inner)
    room = working(kind, (task.classes + 3) * size)
    values, stats = room[: task.classes * size], room[task.classes * size :]
    top, total, factor = stats[:size], stats[size : 2 * size], stats[2 * size :]
    return Tile(values, top, total, factor, np.empty(size), np.empty(size, np.int64))


@helper()
def rooms(x: Any, classes: int) -> tuple[Any, Any]:
    """Scratch for a row: for exponentials that nobody keeps, and for the numbers of x; see `kept_in`."""
    return working(x, classes if narrow(x) else PART), working(x, classes if narrow(x) else 0)


def kept_in(prob: Any, out: Any) -> Any:
    """Where the exponentials of rows are kept: in the softmax if it is wanted, else where the gradient will be. A half
    type would round them there: its rows are kept one by one, in a scratch array."""
    raise NotImplementedError


def exponentials_of(softmax: Any, room: Any, out: Any) -> Any:
    """A row's exponentials, or an empty array where they are in `out` already."""
    raise NotImplementedError


def _in_either(prob: Any, out: Any) -> Any:
    return prob if prob.size > 0 else out


def _in_softmax(prob: Any, out: Any) -> Any:
    return prob


def _of_softmax(softmax: Any, room: Any, out: Any) -> Any:
    return softmax


def _of_either(softmax: Any, room: Any, out: Any) -> Any:
    return softmax if softmax.size > 0 else room


@overload(kept_in, jit_options=INLINED)
def _kept_in(prob: Any, out: Any) -> Any:
    return _in_either if prob.dtype == out.dtype else _in_softmax


@overload(exponentials_of, jit_options=INLINED)
def _exponentials_of(softmax: Any, room: Any, out: Any) -> Any:
    return _of_softmax if softmax.dtype == out.dtype else _of_either


@helper()
def cut(room: Tile, classes: int, count: int) -> Tile:
    """The part of scratch arrays that a tile of so many positions needs."""
    stats = room.top[:count], room.total[:count], room.factor[:count], room.logs[:count], room.marks[:count]
    return Tile(room.values[: classes * count], *stats)


@helper()
def load(x: Any, where: Place, classes: int, tile: Tile) -> None:
    """Copy logits to a tile, and find the largest of every position.

    A NaN may be passed over here, but not by the sum of exponentials.
    """
    count, step, top = where.size, np.uint64(where.per_position), tile.top
    for c in range(classes):
        start = where.base + c * where.per_class
        run, into = x[start:], tile.values[c * count : (c + 1) * count]
        if where.per_position == 1:
            for p in range(count):
                into[p] = number(run[p])
        else:
            for p in range(count):
                into[p] = number(run[np.uint64(p) * step])
    for p in range(count):
        top[p] = tile.values[p]
    for c in range(1, classes):
        run = tile.values[c * count : (c + 1) * count]
        for p in range(count):
            top[p] = run[p] if run[p] > top[p] else top[p]


@helper()
def exponentiate(tile: Tile, classes: int) -> None:
    """Replace logits by exp(x - top); add up every position, and take the logarithms of the sums."""
    count, top, total, logs = tile.top.size, tile.top, tile.total, tile.logs
    for p in range(count):
        total[p] = 0
    for c in range(classes):
        run = tile.values[c * count : (c + 1) * count]
        for p in range(count):
            e = exp(run[p] - top[p])
            run[p] = e
            total[p] += e
    for p in range(count):
        logs[p] = log(np.float64(total[p]))


@helper()
def store(tile: Tile, classes: int, out: Any, where: Place) -> None:
    """Write a tile, each position times its factor, to where its logits came from."""
    count, step, factor = where.size, np.uint64(where.per_position), tile.factor
    for c in range(classes):
        start = where.base + c * where.per_class
        run, into = tile.values[c * count : (c + 1) * count], out[start:]
        if where.per_position == 1:
            for p in range(count):
                into[p] = stored(run[p] * factor[p], into.dtype)
        else:
            for p in range(count):
                into[np.uint64(p) * step] = stored(run[p] * factor[p], into.dtype)


@helper()
def mark(labels: Any, classes: int, ignore: int, marks: Any) -> int:
    """Write the classes that labels name, -1 for an ignored one and for one that is no class; return the status."""
    status = DONE
    for p in range(marks.size):
        label = truncated(number(labels[p]))
        known = label != ignore and 0 <= label < classes
        marks[p] = label if known else -1
        if not known and label != ignore:
            status = WRONG_LABEL
    return status


@helper()
def clear(tile: Tile, classes: int) -> None:
    """Make everything of the ignored positions 0, NaN included."""
    count = tile.marks.size
    for p in range(count):
        if tile.marks[p] < 0:
            tile.factor[p] = 0
            for c in range(classes):
                tile.values[c * count + p] = 0


@helper()
def divide(dividend: float, divisors: Any, result: Any) -> None:
    """A number divided by each of an array's."""
    for p in range(result.size):
        result[p] = dividend / divisors[p]


def largest(row: Any) -> Any:
    """The largest entry of a contiguous row; any NaN may be passed over.

    Comparing floats does not vectorise (a NaN forbids another order), comparing integers does. As integers the bits of
    floats are in order, but those of negative numbers are in reverse: where all are negative, the least is the largest.
    """
    return row.max()


def _largest32(row: Any) -> Any:
    bits = row.view(np.int32)
    most, least = np.int32(-(2**31)), np.int32(2**31 - 1)
    for j in range(bits.size):
        b = bits[j]
        most = b if b > most else most
        least = b if b < least else least
    return np.int32(most if most >= np.int32(0) else least).view(SINGLE)


def _largest64(row: Any) -> Any:
    bits = row.view(np.int64)
    most, least = np.int64(-(2**63)), np.int64(2**63 - 1)
    for j in range(bits.size):
        b = bits[j]
        most = b if b > most else most
        least = b if b < least else least
    return np.int64(most if most >= 0 else least).view(np.float64)


@overload(largest, jit_options=FLAGS)
def _largest(row: Any) -> Any:
    return _largest32 if row.dtype == SINGLE_TYPE else _largest64


@helper()
def multiply(row: Any, factor: Any) -> None:
    """Multiply a row in place."""
    for j in range(row.size):
        row[j] = stored(number(row[j]) * factor, row.dtype)


@helper()
def multiplied(row: Any, factor: Any, result: Any) -> None:
    """Write a row times a factor elsewhere. (In place the compiler must doubt the order of reads and writes.)"""
    for j in range(row.size):
        result[j] = stored(number(row[j]) * factor, result.dtype)


@helper(**ADDING)
def _block(row: Any, top: Any, result: Any) -> Any:
    total = like(top, 0)
    for j in range(row.size):
        e = exp(row[j] - top)
        result[j] = e
        total += e
    return total


@helper()
def exponentials(row: Any, top: Any, result: Any, later: Any, later_result: Any) -> float:
    """The sum of exp(x - top) over a row. `result` keeps them; a shorter one (a block) is written over and over.

    Meanwhile what is to be read and written `later` (either may be shorter than the row) is asked for.
    """
    total = 0.0
    for start in range(0, row.size, PART):
        fetch(later[start : start + PART])
        claim(later_result[start : start + PART])
        part = row[start : start + PART]
        kept = result[start : start + PART] if result.size == row.size else result
        total += np.float64(_block(part, top, kept))
    return total


def backward(prob: NDArray[Any], diff: NDArray[Any], *, axis: int = 1, out: NDArray[Any]) -> None:
    """Add to `out` what the diff of a softmax sends to its logits; all three have one shape."""
    out[...] = out.astype(np.float64) + softmax_gradient(prob.astype(np.float64), diff.astype(np.float64), axis)
