# mypy: disable-error-code="no-any-return, untyped-decorator"
"""What a loss is divided by (``src/caffe/layers/loss_layer.cpp`` GetNormalizer), and the division: on the device.

A divisor is known before the launch (a number of labels or of samples), or it is the labels that are not ignored, which
only the device can count. Kernels take both: `count`, an array of the counted number or an empty one, and `known`. It
is never less than 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu.arguments import MODES, NO_LABEL
from refimpl.fast.cuda.arguments import Input, Loss
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import BLOCK, WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.scalar import truncated

__all__ = ["Divisor", "add_counts", "add_losses", "add_up", "count_valid", "divisor", "divisor_of"]


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


@kernel("double[]", "int64[]", "int64", "real[]", shared=("double",) * WARPS)
def add_losses(sums: Any, count: Any, known: int, loss: Any) -> None:
    """The loss: what all blocks found, added up in float64, over the divisor in the layer's own type; by one block."""
    scratch = cuda.shared.array(WARPS, np.float64)
    total = np.float64(0)
    for i in range(cuda.threadIdx.x, sums.size, BLOCK):
        total += sums[i]
    total = block_sum(total, scratch)
    if cuda.threadIdx.x == 0:
        loss[0] = loss.dtype.type(total) / loss.dtype.type(divisor(count, known))


class Divisor(NamedTuple):
    """What kernels divide by: the counted number on the device, or where `count` is empty the known one."""

    count: Any
    known: int


def divisor_of(device: Device, mode: int, batch: int, labels: Input, ignore: int) -> Divisor:
    """VALID: the labels that are not ignored; FULL: all of them; BATCH_SIZE: `batch`; NONE: 1."""
    if mode == MODES["VALID"] and ignore != NO_LABEL:
        counts, count = device.empty(blocks(labels.size), np.int64), device.empty(1, np.int64)
        device.launch(count_valid, blocks(labels.size), labels.array, ignore, counts)
        device.launch(add_counts, 1, counts, count)
        return Divisor(count, 1)
    known = {MODES["BATCH_SIZE"]: batch, MODES["NONE"]: 1}.get(mode, labels.size)
    return Divisor(device.empty(0, np.int64), known)


def add_up(device: Device, sums: Any, divisor: Divisor | int, loss: Loss) -> None:
    """Make the loss of partial sums."""
    count, known = divisor if isinstance(divisor, Divisor) else (device.empty(0, np.int64), divisor)
    device.launch(add_losses, 1, sums, count, known, loss.array)
