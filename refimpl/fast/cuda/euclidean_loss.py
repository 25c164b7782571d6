# mypy: disable-error-code="no-any-return, untyped-decorator"
"""EuclideanLoss on a GPU (``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (a - b)^2 / (2 N)``, N the first dimension; ``dL/da = w (a - b) / N = -dL/db``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from refimpl.fast.cpu import euclidean_loss as cpu
from refimpl.fast.cpu.arguments import same_samples
from refimpl.fast.cuda.arguments import floats
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum

__all__ = ["backward", "euclidean_loss"]


@kernel("real[]", "real[]", "double[]", shared=("double",) * WARPS)
def sum_squares(a: Any, b: Any, sums: Any) -> None:
    """The squared differences of each block, added up."""
    scratch = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for i in range(first(), a.size, stride()):
        difference = a[i] - b[i]
        loss += np.float64(difference * difference)
    loss = block_sum(loss, scratch)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel("real[]", "real[]", "real[]", "int64", "real[]", "real[]")
def differentiate(a: Any, b: Any, top_diff: Any, num: int, out_a: Any, out_b: Any) -> None:
    """The gradients; an empty array where one is not wanted."""
    scale = top_diff[0] / top_diff.dtype.type(num)
    for i in range(first(), a.size, stride()):
        gradient = (a[i] - b[i]) * scale
        if out_a.size > 0:
            out_a[i] = gradient
        if out_b.size > 0:
            out_b[i] = -gradient


def _problem(device: Device, name: str, a: Any, b: Any) -> Problem:
    first = floats(device, a, name)
    second = floats(device, b, "b", first)
    num, count = same_samples(first, second), blocks(first.size)
    losses, gradient = Launch(sum_squares, count), Launch(differentiate, count, (num,))
    return Problem(device, first, (first.array, second.array), losses, gradient, 2 * num, pair=second)


euclidean_loss, backward = host_functions(cpu, _problem)
