# mypy: disable-error-code="no-any-return, untyped-decorator"
"""EuclideanLoss on a GPU (``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (a - b)^2 / (2 N)``, N the first dimension; ``dL/da = w (a - b) / N = -dL/db``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from refimpl.fast.cpu.arguments import same_samples
from refimpl.fast.cuda.arguments import Loss, Output, floats, weight
from refimpl.fast.cuda.device import Device, current
from refimpl.fast.cuda.grid import WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import add_up
from refimpl.fast.cuda.reduction import block_sum

__all__ = ["backward", "euclidean_loss"]


@kernel("real[]", "real[]", "float64[]", shared=("float64",) * WARPS)
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


def euclidean_loss(
    a: Any, b: Any, *, top_diff: Any = 1.0, out_a: Any = None, out_b: Any = None, loss: Any = None
) -> float | None:
    """The loss, and the gradients for a and for b, where there are arrays to write them to.

    `a`, `b`: float32 or float64, both the same; N samples along the first axis with the same number of entries, in any
    shape. `out_a`, `out_b`: like a and b; receive the gradients for the given `top_diff` (the top's diff, that is the
    weight): a number or an array of one. `loss`: an array of one entry that receives the loss, which is then not
    returned. All arrays are NumPy's or a device's (`refimpl.fast.cuda.arguments`).

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch, NoDevice.
    """
    samples = _Samples(current(), a, b)
    device, size = samples.device, samples.a.size
    answer, sums = Loss(device, loss, samples.a), device.empty(blocks(size), np.float64)
    device.launch(sum_squares, blocks(size), samples.a.array, samples.b.array, sums)
    add_up(device, sums, 2 * samples.num, answer)
    if out_a is not None or out_b is not None:
        samples.differentiate(top_diff, out_a, out_b)
    return answer.value()


def backward(a: Any, b: Any, *, top_diff: Any, out_a: Any = None, out_b: Any = None) -> None:
    """The gradients alone; arguments as for `euclidean_loss`."""
    _Samples(current(), a, b).differentiate(top_diff, out_a, out_b)


class _Samples:
    """Checked arguments on the device."""

    def __init__(self, device: Device, a: Any, b: Any) -> None:
        self.device = device
        self.a = floats(device, a, "a")
        self.b = floats(device, b, "b", self.a)
        self.num = same_samples(self.a, self.b)

    def differentiate(self, top_diff: Any, out_a: Any, out_b: Any) -> None:
        """Launch the gradients, and bring them where they are wanted."""
        outputs = Output(self.device, out_a, "out_a", self.a), Output(self.device, out_b, "out_b", self.b)
        arrays = self.a.array, self.b.array, weight(self.device, top_diff, self.a)
        self.device.launch(differentiate, blocks(self.a.size), *arrays, self.num, *(o.array for o in outputs))
        for output in outputs:
            output.finish()
