# mypy: disable-error-code="no-any-return, untyped-decorator"
"""What a loss is divided by (``src/caffe/layers/loss_layer.cpp`` GetNormalizer), and the division: on the device.

A divisor is known before the launch (a number of labels or of samples), or it is the labels that are not ignored, which
only the device can count. Kernels take both: `count`, an array of the counted number or an empty one, and `known`. It
is never less than 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.grid import BLOCK, WARPS, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.scalar import truncated

__all__ = ["add_counts", "add_losses", "count_valid", "divisor"]


@register_jitable
def divisor(count: Any, known: int) -> int:
    """The counted number where one was counted, otherwise the known one; at least 1."""
    number = count[0] if count.size > 0 else known
    return number if number > 1 else 1


@kernel("real[]", "int64", "int64[]", shared=("int64",) * WARPS)
def count_valid(labels: Any, ignore: int, counts: Any) -> None:
    """How many labels of each block are not ignored."""
    scratch = cuda.shared.array(WARPS, np.int64)
    count = np.int64(0)
    for i in range(first(), labels.size, stride()):
        if truncated(labels[i]) != ignore:
            count += 1
    count = block_sum(count, scratch)
    if cuda.threadIdx.x == 0:
        counts[cuda.blockIdx.x] = count


@kernel("int64[]", "int64[]", shared=("int64",) * WARPS)
def add_counts(counts: Any, count: Any) -> None:
    """The counts of all blocks added up; by one block."""
    scratch = cuda.shared.array(WARPS, np.int64)
    total = np.int64(0)
    for i in range(cuda.threadIdx.x, counts.size, BLOCK):
        total += counts[i]
    total = block_sum(total, scratch)
    if cuda.threadIdx.x == 0:
        count[0] = total


@kernel("float64[]", "int64[]", "int64", "real[]", shared=("float64",) * WARPS)
def add_losses(sums: Any, count: Any, known: int, loss: Any) -> None:
    """The loss: what all blocks found, added up in float64, over the divisor in the layer's own type; by one block."""
    scratch = cuda.shared.array(WARPS, np.float64)
    total = np.float64(0)
    for i in range(cuda.threadIdx.x, sums.size, BLOCK):
        total += sums[i]
    total = block_sum(total, scratch)
    if cuda.threadIdx.x == 0:
        loss[0] = loss.dtype.type(total) / loss.dtype.type(divisor(count, known))
