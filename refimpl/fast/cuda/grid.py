# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Who computes what: the shape of a launch, and the index arithmetic of its threads.

A launch is one-dimensional. Its shape depends on the problem and on nothing else, not on the device's size, so that
the order of every sum, and with it every bit of a result, is the same wherever it runs. Flat indices are int64: a blob
may have more than 2^31 entries, and 32-bit products of block and width wrap around before that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

__all__ = ["BLOCK", "EACH", "MOST_BLOCKS", "WARP", "WARPS", "blocks", "first", "flat_index", "stride"]

WARP = 32
"""Threads that run in step, and can exchange registers."""

BLOCK = 128
"""Threads of a block: the width of every kernel of this package."""

WARPS = BLOCK // WARP
"""Warps of a block: the places that a sum over a block needs in shared memory."""

EACH = 4
"""Entries that a thread takes before more blocks are launched: a block's sum costs as much as adding several."""

MOST_BLOCKS = 4096
"""Blocks of a launch; what they do not cover in one go they cover in several. Fills twice over the largest device
there is, and bounds the number of partial sums."""


@register_jitable
def flat_index(block: Any, width: Any, thread: Any) -> Any:
    """block * width + thread, in int64 whatever the types of the three."""
    return np.int64(block) * np.int64(width) + np.int64(thread)


@register_jitable
def first() -> Any:
    """The first entry of this thread, where a launch goes over entries one thread each."""
    return flat_index(cuda.blockIdx.x, cuda.blockDim.x, cuda.threadIdx.x)


@register_jitable
def stride() -> Any:
    """How far it is to this thread's next entry: the threads of the launch."""
    return flat_index(cuda.gridDim.x, cuda.blockDim.x, 0)


def blocks(items: int, per_block: int = EACH * BLOCK) -> int:
    """The blocks to launch for so many items, of which a block takes `per_block` at a time; the last may be ragged."""
    return min(-(-items // per_block), MOST_BLOCKS)
