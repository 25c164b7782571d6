# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SigmoidCrossEntropyLoss on a GPU (``src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp``).

``L = sum (log(1 + e^-|x|) - x (t - [x >= 0])) / Z`` over the counted entries; ``dL/dx = w (1 / (1 + e^-x) - t) / Z``
there and 0 elsewhere. As in Caffe an infinite logit gives NaN, with a finite gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu.arguments import ignored, mode_of, same_samples
from refimpl.fast.cuda.arguments import Loss, Output, floats, weight
from refimpl.fast.cuda.device import current
from refimpl.fast.cuda.grid import WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import Divisor, add_up, divisor, divisor_of
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.scalar import exp, like, log1p, sigmoid, truncated

__all__ = ["backward", "sigmoid_cross_entropy_loss"]


@register_jitable
def _loss(x: Any, t: Any) -> Any:
    """Of one entry; x - x is 0, but NaN for an infinite logit, where Caffe's x - 2 x [x >= 0] is NaN."""
    step = like(x, 1) if x >= like(x, 0) else like(x, 0)
    return log1p(exp(-abs(x))) - x * (t - step) + (x - x)


@kernel("real[]", "real[]", "int64", "float64[]", shared=("float64",) * WARPS)
def sum_losses(x: Any, t: Any, ignore: int, sums: Any) -> None:
    """The losses of each block's entries, added up."""
    scratch = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for i in range(first(), x.size, stride()):
        if truncated(t[i]) != ignore:
            loss += np.float64(_loss(x[i], t[i]))
    loss = block_sum(loss, scratch)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel("real[]", "real[]", "real[]", "int64[]", "int64", "int64", "real[]")
def differentiate(x: Any, t: Any, top_diff: Any, count: Any, known: int, ignore: int, out: Any) -> None:
    """The gradient."""
    scale = top_diff[0] / x.dtype.type(divisor(count, known))
    for i in range(first(), x.size, stride()):
        gradient = (sigmoid(x[i]) - t[i]) * scale
        out[i] = x.dtype.type(0) if truncated(t[i]) == ignore else gradient


def sigmoid_cross_entropy_loss(
    x: Any,
    t: Any,
    *,
    ignore_label: int | None = None,
    normalization: str = "BATCH_SIZE",
    top_diff: Any = 1.0,
    out: Any = None,
    loss: Any = None,
) -> float | None:
    """The loss, and the gradient, if there is an array to write it to.

    `x`, `t`: logits and targets, float32 or float64, both the same; N samples along the first axis with the same number
    of entries. Targets may be any number; one whose integral part is `ignore_label` does not count. `normalization`:
    divide by the entries (FULL), those that count (VALID), N (BATCH_SIZE) or 1 (NONE). `out`: like x; receives the
    gradient for the given `top_diff` (the top's diff, that is the weight): a number or an array of one. `loss`: an
    array of one entry that receives the loss, which is then not returned. All arrays are NumPy's or a device's
    (`refimpl.fast.cuda.arguments`).

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch and an unknown
    `normalization`; NoDevice.
    """
    entries = _Entries(x, t, ignore_label, normalization)
    device, size = entries.device, entries.x.size
    answer, sums = Loss(device, loss, entries.x), device.empty(blocks(size), np.float64)
    device.launch(sum_losses, blocks(size), entries.x.array, entries.t.array, entries.ignore, sums)
    add_up(device, sums, entries.divisor(), answer)
    if out is not None:
        entries.differentiate(top_diff, out)
    return answer.value()


def backward(
    x: Any, t: Any, *, ignore_label: int | None = None, normalization: str = "BATCH_SIZE", top_diff: Any, out: Any
) -> None:
    """The gradient alone; arguments as for `sigmoid_cross_entropy_loss`."""
    _Entries(x, t, ignore_label, normalization).differentiate(top_diff, out)


class _Entries:
    """Checked arguments on the device."""

    def __init__(self, x: Any, t: Any, ignore_label: int | None, normalization: str) -> None:
        self.device, self.mode, self.ignore = current(), mode_of(normalization), ignored(ignore_label)
        self.x = floats(self.device, x, "x")
        self.t = floats(self.device, t, "t", self.x)
        self.num = same_samples(self.x, self.t)

    def divisor(self) -> Divisor:
        return divisor_of(self.device, self.mode, self.num, self.t, self.ignore)

    def differentiate(self, top_diff: Any, out: Any) -> None:
        """Launch the gradient, and bring it where it is wanted."""
        gradient = Output(self.device, out, "out", self.x)
        arrays = self.x.array, self.t.array, weight(self.device, top_diff, self.x)
        self.device.launch(differentiate, blocks(self.x.size), *arrays, *self.divisor(), self.ignore, gradient.array)
        gradient.finish()
