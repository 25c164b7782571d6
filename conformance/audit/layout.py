"""Layout: where the boxes of a drawing stand: as graphviz's ``dot`` has it, or in rows of our own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Box", "Layout", "Point", "laid_out"]

WIDTH = 960.0
"""Drawings are no wider than this, in pixels, unless a single box is."""

Point = tuple[float, float]

_GAP, _ROW_GAP = 28.0, 52.0
_MOST_FOR_DOT = 150
_SECONDS = 10
_INCH = 72.0


@dataclass(frozen=True)
class Box:
    """A box by its middle, in pixels, y downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def foot(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def head(self) -> Point:
        return self.x, self.y - self.height / 2


@dataclass(frozen=True)
class Layout:
    """A box for each size that was asked for, the points of a Bezier curve for each edge, and the size of the whole."""

    boxes: tuple[Box, ...]
    curves: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def laid_out(sizes: Sequence[tuple[float, float]], edges: Iterable[tuple[int, int]]) -> Layout:
    """Boxes of these widths and heights, those that edges lead to under those that they come from.

    The edges make no circle. ``dot`` places the boxes where it is installed and its drawing is not too wide to read.
    """
    pairs = list(edges)
    if len(sizes) <= _MOST_FOR_DOT and shutil.which("dot"):
        by_dot = _by_dot(sizes, pairs)
        if by_dot is not None and by_dot.width <= WIDTH:
            return by_dot
    return _in_rows(sizes, pairs)


def _by_dot(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout | None:
    lines = [f"n{i} [width={w / _INCH:.4f}, height={h / _INCH:.4f}];" for i, (w, h) in enumerate(sizes)]
    lines += [f"n{source} -> n{target};" for source, target in edges]
    text = "digraph { node [shape=box, fixedsize=true]; edge [arrowhead=none]; ranksep=0.6; " + " ".join(lines) + " }"
    try:
        done = subprocess.run(
            ["dot", "-Tplain"], input=text, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        rows = [line.split() for line in done.stdout.splitlines()]
        width, height = (float(number) * _INCH for number in rows[0][2:4])
        placed = {row[1]: _points(row[2:4], height)[0] for row in rows if row[0] == "node"}
        drawn = {(row[1], row[2]): _points(row[4 : 4 + 2 * int(row[3])], height) for row in rows if row[0] == "edge"}
        boxes = tuple(Box(*placed[f"n{i}"], *size) for i, size in enumerate(sizes))
        curves = tuple(drawn[f"n{source}", f"n{target}"] for source, target in edges)
    except (OSError, subprocess.SubprocessError, ValueError, LookupError):
        return None
    return Layout(boxes, curves, width, height)


def _points(words: Sequence[str], height: float) -> tuple[Point, ...]:
    """Pairs of inches, y upwards, as pixels, y downwards."""
    numbers = [float(word) * _INCH for word in words]
    return tuple((x, height - y) for x, y in zip(numbers[::2], numbers[1::2], strict=True))


def _in_rows(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """A row for each length of the longest way from a source; one that is too wide goes on under itself."""
    above: dict[int, list[int]] = {}
    for source, target in edges:
        above.setdefault(target, []).append(source)
    widest = max([WIDTH, *(width for width, _ in sizes)])
    middles: dict[int, float] = {}
    boxes: dict[int, Box] = {}
    top = 0.0
    for row in _rows(len(sizes), edges):
        over = {i: [middles[source] for source in above.get(i, ())] or [widest / 2] for i in row}
        row.sort(key=lambda i, over=over: sum(over[i]) / len(over[i]))  # type: ignore[misc]
        for part in _parts(row, sizes, widest):
            left = (widest - sum(sizes[i][0] for i in part) - _GAP * (len(part) - 1)) / 2
            height = max(sizes[i][1] for i in part)
            for i in part:
                middles[i] = left + sizes[i][0] / 2
                boxes[i] = Box(middles[i], top + height / 2, *sizes[i])
                left += sizes[i][0] + _GAP
            top += height + _ROW_GAP
    curves = tuple(_curve(boxes[source].foot, boxes[target].head) for source, target in edges)
    return Layout(tuple(boxes[i] for i in range(len(sizes))), curves, widest, max(0.0, top - _ROW_GAP))


def _curve(start: Point, end: Point) -> tuple[Point, ...]:
    bend = max(16.0, (end[1] - start[1]) / 2)
    return start, (start[0], start[1] + bend), (end[0], end[1] - bend), end


def _rows(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The indices by rank; what nothing leads to stands right above what it leads to."""
    below: dict[int, list[int]] = {}
    waiting = [0] * count
    for source, target in edges:
        below.setdefault(source, []).append(target)
        waiting[target] += 1
    sources = [i for i in range(count) if not waiting[i]]
    rank = [0] * count
    ready = list(sources)
    while ready:
        source = ready.pop()
        for target in below.get(source, ()):
            rank[target] = max(rank[target], rank[source] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for i in sources:
        rank[i] = min((rank[target] - 1 for target in below.get(i, ())), default=0)
    rows: dict[int, list[int]] = {}
    for i, each in enumerate(rank):
        rows.setdefault(each, []).append(i)
    return [rows[each] for each in sorted(rows)]


def _parts(row: Sequence[int], sizes: Sequence[tuple[float, float]], widest: float) -> list[list[int]]:
    parts: list[list[int]] = []
    used = widest
    for i in row:
        if not parts or used + _GAP + sizes[i][0] > widest:
            parts.append([])
            used = -_GAP
        parts[-1].append(i)
        used += _GAP + sizes[i][0]
    return parts
