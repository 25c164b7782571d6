# mypy: disable-error-code="no-any-return, untyped-decorator"
"""What the kernels of SoftmaxWithLoss and InfogainLoss share: a softmax along one axis, tile by tile or row by row.

Logits are a flat array of the form (outer, classes, inner); a *position* is one place of outer and inner. Where there
are few classes, or the classes of a position lie apart (inner > 1), many positions side by side fill the lanes of a
vector: a *tile* of them is copied to a scratch array, classes by positions, so that the strides of the input are walked
once. Rows of many classes (inner = 1, more than `NARROW` of them) are worked on where they are.

Problems of at most `WIDE` entries are computed in float64 whatever their type: it costs next to nothing there, and a
float32 result is then the exact one, rounded once or twice. Larger ones are computed in their own type, with sums in
float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from refimpl.fast.cpu.kernel import ADDING, BLOCK, CHUNK, helper
from refimpl.fast.scalar import FLAGS, exp, like, log, truncated

__all__ = [
    "NARROW",
    "by_rows",
    "chunking",
    "chunks",
    "clear",
    "divided",
    "exponentiate",
    "largest",
    "load",
    "mark",
    "multiplied",
    "multiply",
    "place",
    "row_exponentials",
    "store",
]

NARROW = 64
"""Rows of at most this many classes go by tiles."""

TILE = 4096
"""Entries of a tile: its scratch array stays in the first or second level cache."""


@register_jitable
def by_rows(classes: int, inner: int) -> bool:
    """Whether positions are worked on one row at a time."""
    return inner == 1 and classes > NARROW


@register_jitable
def chunking(outer: int, classes: int, inner: int) -> tuple[int, int]:
    """(positions in a chunk, chunks in a group). The positions of a group are equally far apart: all rows, or one
    outer's inner."""
    positions = outer if inner == 1 else inner
    width = CHUNK // classes if by_rows(classes, inner) else TILE // classes + NARROW
    width = positions if positions < width else width + (width == 0)
    return width, (positions + width - 1) // width


@register_jitable
def chunks(outer: int, classes: int, inner: int) -> int:
    """How many chunks there are in all."""
    each = chunking(outer, classes, inner)[1]
    return each if inner == 1 else each * outer


@helper()
def place(chunk: int, outer: int, classes: int, inner: int) -> tuple[int, int, int, int, int]:
    """Where a chunk is: (index of its first logit, of its first label, positions, step to the next class, to the next
    position)."""
    width, each = chunking(outer, classes, inner)
    group, start = chunk // each, chunk % each * width
    rest = (outer if inner == 1 else inner) - start
    count = width if width < rest else rest
    if inner == 1:
        return start * classes, start, count, 1, classes
    return group * classes * inner + start, group * inner + start, count, inner, 1


@helper()
def load(x: Any, base: int, per_class: int, per_position: int, classes: int, tile: Any, top: Any) -> None:
    """Copy the logits of as many positions as `top` has to `tile`, class after class; find the largest of every
    position.

    A NaN may be passed over here, but not by the sum of exponentials.
    """
    count, step = top.size, np.uint64(per_position)
    for c in range(classes):
        start = base + c * per_class
        run, into = x[start:], tile[c * count : (c + 1) * count]
        if per_position == 1:
            for p in range(count):
                into[p] = run[p]
        else:
            for p in range(count):
                into[p] = run[np.uint64(p) * step]
    for p in range(count):
        top[p] = tile[p]
    for c in range(1, classes):
        run = tile[c * count : (c + 1) * count]
        for p in range(count):
            top[p] = run[p] if run[p] > top[p] else top[p]


@helper()
def exponentiate(tile: Any, classes: int, top: Any, total: Any, logs: Any) -> None:
    """Replace logits by exp(x - top); add up every position, and take the logarithms of the sums."""
    count = top.size
    for p in range(count):
        total[p] = 0
    for c in range(classes):
        run = tile[c * count : (c + 1) * count]
        for p in range(count):
            e = exp(run[p] - top[p])
            run[p] = e
            total[p] += e
    for p in range(count):
        logs[p] = log(np.float64(total[p]))


@helper()
def store(tile: Any, classes: int, factor: Any, out: Any, base: int, per_class: int, per_position: int) -> None:
    """Write a tile, each position times its factor, to where its logits came from."""
    count, step = factor.size, np.uint64(per_position)
    for c in range(classes):
        start = base + c * per_class
        run, into = tile[c * count : (c + 1) * count], out[start:]
        if per_position == 1:
            for p in range(count):
                into[p] = run[p] * factor[p]
        else:
            for p in range(count):
                into[np.uint64(p) * step] = run[p] * factor[p]


@helper()
def clear(tile: Any, classes: int, marks: Any, factor: Any) -> None:
    """Make everything of the ignored positions 0, NaN included."""
    for p in range(marks.size):
        if marks[p] < 0:
            factor[p] = 0
            for c in range(classes):
                tile[c * marks.size + p] = 0


@helper()
def mark(labels: Any, classes: int, ignore: int, marks: Any) -> None:
    """The classes that labels name; -1 for an ignored one, -2 for one that is no class."""
    for p in range(marks.size):
        label = truncated(labels[p])
        wrong = -1 if label == ignore else -2
        marks[p] = label if label != ignore and 0 <= label < classes else wrong


def largest(row: Any) -> Any:
    """The largest entry of a contiguous row; any NaN may be passed over.

    Comparing floats does not vectorise (a NaN forbids another order), comparing integers does, and the bits of floats
    compare like integers once those of negative numbers are flipped.
    """
    return row.max()


def _largest32(row: Any) -> Any:
    bits = row.view(np.int32)
    best = np.int32(-(2**31))
    for j in range(bits.size):
        b = bits[j]
        b = np.int32(b ^ np.int32(np.int32(b >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        best = b if b > best else best
    return np.int32(best ^ np.int32(np.int32(best >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)


def _largest64(row: Any) -> Any:
    bits = row.view(np.int64)
    best = np.int64(-(2**63))
    for j in range(bits.size):
        b = bits[j]
        b = b ^ ((b >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
        best = b if b > best else best
    return np.int64(best ^ ((best >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))).view(np.float64)


@overload(largest, jit_options=FLAGS)
def _largest(row: Any) -> Any:
    return _largest32 if row.dtype == types.float32 else _largest64


@helper()
def multiply(row: Any, factor: Any) -> None:
    """Multiply a row in place."""
    for j in range(row.size):
        row[j] = row[j] * factor


@helper()
def multiplied(row: Any, factor: Any, result: Any) -> None:
    """Write a row times a factor elsewhere. (In place the compiler must doubt the order of reads and writes, and
    crawls.)"""
    for j in range(row.size):
        result[j] = row[j] * factor


@helper()
def divided(dividend: float, divisors: Any, result: Any) -> None:
    """A number divided by each of an array's."""
    for p in range(result.size):
        result[p] = dividend / divisors[p]


@helper(**ADDING)
def _block_exponentials(row: Any, top: Any, result: Any) -> Any:
    total = like(top, 0)
    for j in range(row.size):
        e = exp(row[j] - top)
        result[j] = e
        total += e
    return total


@helper()
def row_exponentials(row: Any, top: Any, result: Any) -> float:
    """The sum of exp(x - top) over a row. `result` keeps the exponentials; a shorter one (a block) is written over and
    over."""
    total = 0.0
    size = BLOCK // row.itemsize
    for start in range(0, row.size, size):
        block = row[start : start + size]
        kept = result[start : start + size] if result.size == row.size else result
        total += np.float64(_block_exponentials(block, top, kept))
    return total
