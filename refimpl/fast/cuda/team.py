# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Team: the threads that work on one position, that is on one vector of classes (or of a sample's entries).

Threads beside each other must read entries beside each other. Where the entries of a position are adjacent its team
lies along them: part of a warp for a few, so that a block takes several positions; a warp; the whole block for many.
Where they are not, because `inner` positions lie between them, each thread is a team of its own and takes the
position beside its neighbour's: nothing is transposed.

    for start in range(first_position(width), positions, position_stride(width)):
        team = team_at(start, positions, classes, inner, width)
        for c in range(team.lane, team.size, width):
            ... x[team.base + c * inner] ...

All threads of a block go through that loop equally often, so it may contain barriers: a team without a position (the
last block is ragged) has a size of 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.grid import BLOCK, WARP, blocks, flat_index

__all__ = ["Team", "first_position", "position_stride", "team_at", "team_blocks", "team_width"]


class Team(NamedTuple):
    """One thread's place: its position, its lane in the team, the position's first entry, and how many it has."""

    position: int
    lane: int
    base: int
    size: int


def team_width(classes: int, inner: int) -> int:
    """Threads of a team, a power of two, for positions of `classes` entries that lie `inner` apart."""
    if inner > 1:
        return 1
    if classes > 4 * WARP:
        return BLOCK
    return min(WARP, 1 << (classes - 1).bit_length())


def team_blocks(positions: int, width: int) -> int:
    """The blocks to launch for so many positions."""
    return blocks(positions, BLOCK // width)


@register_jitable
def first_position(width: int) -> Any:
    """The position of the first team of this block."""
    return flat_index(cuda.blockIdx.x, BLOCK // width, 0)


@register_jitable
def position_stride(width: int) -> Any:
    """How many positions all blocks take in one go."""
    return flat_index(cuda.gridDim.x, BLOCK // width, 0)


@register_jitable
def base_of(position: Any, classes: Any, inner: Any) -> Any:
    """The index of the first entry of a position, in int64 whatever the types of the three."""
    outer = np.int64(position) // np.int64(inner)
    return outer * np.int64(classes) * np.int64(inner) + (np.int64(position) - outer * np.int64(inner))


@register_jitable
def team_at(start: Any, positions: Any, classes: Any, inner: Any, width: int) -> Team:
    """This thread's place while its block works on the positions from `start` on."""
    position = start + cuda.threadIdx.x // width
    lane = cuda.threadIdx.x % width
    if position < positions:
        return Team(position, lane, base_of(position, classes, inner), classes)
    return Team(position, lane, 0, 0)
