"""The tables in space.md, made of the covering arrays: ``python -m docs.space`` writes the page anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

from conformance.losses import LOSSES, Loss
from conformance.losses.space import Space
from conformance.suite.covering import lines_of, tuples_of
from conformance.suite.space import EXTENTS, Point

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent / "space.md"

_INTRODUCTION = """\
# The declared space

Examples leave what nobody thought of at its default. So each role and each option declares classes of values
(`conformance/losses/space.py`, `kinds.py`), a loss's space is their product, and covering arrays choose rows of it in
which every two classes of different dimensions meet, and every three of a size, an option and a pass
(`conformance/suite/covering.py`; the arrays are made by [covertable](https://covertable.walkframe.com)). A row is a
case; its id is the digest of its row. `python -m fixtures.tools.cover` appends the rows that a grown space lacks, and
changes none.

A weight of 0, or labels that are all ignored, hide most of what is wrong elsewhere. Such classes meet the others in
rows of their own, one to a row, and these rows count for nothing else.

A class stands for several values: a size is drawn from both sides of a power of two, values have full mantissas unless
they are ordinary ones. Every row runs in float32, small ones and every other one in float64, too.

Below, for each loss: the classes of each dimension, the default first; then, for every two dimensions, how many musts
the least covered pair of their classes has, one must being a requirement of a case in a type. `python -m docs.space`
writes this page.
"""


def page() -> str:
    return "\n".join([_INTRODUCTION, *(line for loss in LOSSES.values() for line in _section(loss))])


def _section(loss: Loss) -> Iterator[str]:
    space = Space(loss)
    names = list(space.dimensions)
    pairs, musts, rows = _musts(loss)
    yield f"## {loss.title}"
    yield ""
    yield f"{rows} rows, {musts} musts, {len(pairs)} pairs of classes; {_threes(space)} threes."
    yield ""
    yield "| | dimension | classes |"
    yield "|---|---|---|"
    for i, name in enumerate(names):
        yield f"| {i + 1} | {name} | {', '.join(space.dimensions[name])} |"
    yield ""
    yield f"| | {' | '.join(str(i + 2) for i in range(len(names) - 1))} |"
    yield f"|---|{'--:|' * (len(names) - 1)}"
    for i, name in enumerate(names[:-1]):
        cells = [str(_least(space, pairs, name, other)) if j > i else "" for j, other in enumerate(names) if j]
        yield f"| {i + 1} {name} | {' | '.join(cells)} |"
    yield ""


@cache
def _musts(loss: Loss) -> tuple[Counter[tuple[tuple[str, str], ...]], int, int]:
    """Musts of each pair of classes, of all, and the number of rows."""
    space, found, total = Space(loss), Counter[tuple[tuple[str, str], ...]](), 0
    lines = lines_of(loss)
    for line in lines:
        point = Point(space, line)
        musts = len(point.served) * len(EXTENTS[point.extent])
        total += musts
        found.update({pair: musts for pair in tuples_of(space, line.row) if len(pair) == 2})
    return found, total, len(lines)


def _least(space: Space, pairs: Counter[tuple[tuple[str, str], ...]], one: str, other: str) -> int:
    """The fewest musts of two classes that may meet."""
    counts = (
        pairs[(one, a), (other, b)]
        for a, b in product(space.dimensions[one], space.dimensions[other])
        if space.meets({one: a, other: b})
    )
    return min(counts)


def _threes(space: Space) -> int:
    return len({each for line in lines_of(space.loss) for each in tuples_of(space, line.row) if len(each) == 3})


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
