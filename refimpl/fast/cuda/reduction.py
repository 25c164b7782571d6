# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Sums and maxima over the threads of a warp, of a block, and of a launch: always in one order, without atomics.

A warp exchanges registers in a butterfly, so that every lane ends with the same bits. A block then adds what its warps
found, in their order. A launch leaves one partial sum per block; a second launch, of one block, adds those
(`refimpl.fast.cuda.normaliser`).
"""

from __future__ import annotations

from typing import Any

from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.grid import WARP, WARPS

__all__ = ["block_max", "block_sum", "team_max", "team_sum", "warp_max", "warp_sum"]

ALL = 0xFFFFFFFF
"""Every lane takes part: no kernel lets a thread of a warp leave before the others."""


@register_jitable
def warp_sum(value: Any, width: int) -> Any:
    """The sum over the `width` lanes (a power of two) that share a position, in each of them."""
    distance = width >> 1
    while distance > 0:
        value += cuda.shfl_xor_sync(ALL, value, distance)
        distance >>= 1
    return value


@register_jitable
def warp_max(value: Any, width: int) -> Any:
    """The largest over `width` lanes; a NaN may be passed over."""
    distance = width >> 1
    while distance > 0:
        other = cuda.shfl_xor_sync(ALL, value, distance)
        value = other if other > value else value
        distance >>= 1
    return value


@register_jitable
def block_sum(value: Any, scratch: Any) -> Any:
    """The sum over the block, in every thread. `scratch`: shared memory, a place for every warp."""
    value = warp_sum(value, WARP)
    if cuda.threadIdx.x % WARP == 0:
        scratch[cuda.threadIdx.x // WARP] = value
    cuda.syncthreads()
    total = scratch[0]
    for warp in range(1, WARPS):
        total += scratch[warp]
    cuda.syncthreads()  # the scratch may be written again at once
    return total


@register_jitable
def block_max(value: Any, scratch: Any) -> Any:
    """The largest over the block, in every thread; a NaN may be passed over."""
    value = warp_max(value, WARP)
    if cuda.threadIdx.x % WARP == 0:
        scratch[cuda.threadIdx.x // WARP] = value
    cuda.syncthreads()
    most = scratch[0]
    for warp in range(1, WARPS):
        most = scratch[warp] if scratch[warp] > most else most
    cuda.syncthreads()
    return most


@register_jitable
def team_sum(value: Any, width: int, scratch: Any) -> Any:
    """The sum over the team (see `refimpl.fast.cuda.team`), in each member: part of a warp, or the whole block."""
    return warp_sum(value, width) if width <= WARP else block_sum(value, scratch)


@register_jitable
def team_max(value: Any, width: int, scratch: Any) -> Any:
    """The largest over the team, in each member; a NaN may be passed over."""
    return warp_max(value, width) if width <= WARP else block_max(value, scratch)
