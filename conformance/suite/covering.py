"""Covering: the rows of each loss's space that are cases, in a file for each loss that only ever grows.

The files lie in ``arrays``; ``python -m fixtures.tools.cover`` appends the rows that a grown space lacks. A loss
that has no file, a third party's, gets its array when it is asked for. Every pair of classes meets that may, and every
three of a size, an option and a pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations

from conformance.losses import Loss
from conformance.losses.space import LARGE, Row, Space

__all__ = ["DEFAULT", "Line", "digest_of", "grown", "lines_of", "read", "tuples_of", "written"]

DEFAULT = "."
"""How a file writes the class that a dimension has by default."""

_FIRST = ("digest", "draw", "case")


@dataclass(frozen=True)
class Line:
    """A row; ``draw`` tells one drawing of its values from another, ``case`` is the digest of the case it gives, empty
    where none is on file."""

    row: Mapping[str, str]
    draw: int = 0
    case: str = ""


def lines_of(loss: Loss) -> tuple[Line, ...]:
    """The rows on file, or those made for a loss that has none there."""
    return read(loss.stem, Space(loss)) or _made(loss)


@cache
def _made(loss: Loss) -> tuple[Line, ...]:
    return tuple(Line(row) for row in grown(Space(loss), ()))


def read(stem: str, space: Space) -> tuple[Line, ...]:
    """A loss's file; none: no rows. Raises `ValueError` for a row that names what the space does not have."""
    path = files("conformance.suite").joinpath("arrays").joinpath(f"{stem}.txt")
    if not path.is_file():
        return ()
    head, *lines = path.read_text("utf-8").splitlines()
    names = head.split()[len(_FIRST) :]
    return tuple(_line(stem, space, names, line.split()) for line in lines)


def _line(stem: str, space: Space, names: Sequence[str], words: Sequence[str]) -> Line:
    _, draw, case, *classes = words
    row = {name: word for name, word in zip(names, classes, strict=True) if word != DEFAULT}
    for name, word in row.items():
        if word not in space.dimensions.get(name, ()) and word not in LARGE:
            raise ValueError(f"arrays/{stem}.txt: {name} has no class {word!r}")
    return Line(row, int(draw), case)


def written(space: Space, lines: Sequence[Line]) -> str:
    """The text of a file: a head, and a row a line; what is default is a point."""
    names = list(space.dimensions)
    table = [[*_FIRST, *names]]
    for line in lines:
        whole = space.whole(line.row)
        said = [DEFAULT if whole[name] == space.dimensions[name][0] else whole[name] for name in names]
        table.append([digest_of(space, line.row), str(line.draw), line.case, *said])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "".join(" ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in table)


def digest_of(space: Space, row: Row) -> str:
    """What a row is called: of what is no default."""
    whole = space.whole(row)
    said = sorted((name, whole[name]) for name, classes in space.dimensions.items() if whole[name] != classes[0])
    return hashlib.sha256(repr(said).encode()).hexdigest()[:10]


def grown(space: Space, rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    """The rows that an array lacks: pairs of everything, threes of sizes, options and passes, and a few large ones.

    What masks others meets them in rows of its own.
    """
    from covertable import make  # what reads files does without

    kept = [space.whole(row) for row in rows]
    seen = {digest_of(space, row) for row in kept}
    conditions = [{"operator": "fn", "requires": list(limit.fields), "evaluate": limit.holds} for limit in space.limits]
    factors = {name: list(classes) for name, classes in space.dimensions.items()}
    seeing = {
        name: [one for one in classes if one not in space.masks.get(name, ())] for name, classes in factors.items()
    }
    threes = [{"fields": list(three), "strength": 3} for three in space.threes if set(three) <= factors.keys()]
    clear = [row for row in kept if not space.masked(row)]
    made = make(seeing, strength=2, sub_models=threes, constraints=conditions, presets=clear)
    whole = make(factors, strength=2, constraints=conditions, presets=[*kept, *made])
    for row in (*made, *whole, *map(space.whole, space.further)):
        digest = digest_of(space, row)
        if digest not in seen:
            seen.add(digest)
            yield row


def tuples_of(space: Space, row: Row) -> Iterator[tuple[tuple[str, str], ...]]:
    """The pairs and threes that a row covers: one that masks covers pairs of what it masks with."""
    whole = space.whole(row)
    masked = space.masked(whole)
    for names in (*combinations(space.dimensions, 2), *(() if masked else space.threes)):
        classes = {name: whole[name] for name in names if name in whole}
        if not masked or space.masked(classes):
            yield tuple(classes.items())
