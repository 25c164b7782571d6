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

from refimpl.fast.cpu import sigmoid_cross_entropy_loss as cpu
from refimpl.fast.cpu.arguments import ignored, mode_of, same_samples
from refimpl.fast.cuda.arguments import floats
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import divisor, divisor_of
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.scalar import exp, like, log1p, sigmoid, truncated

__all__ = ["backward", "sigmoid_cross_entropy_loss"]


@register_jitable
def _loss(x: Any, t: Any) -> Any:
    """Of one entry; x - x is 0, but NaN for an infinite logit, where Caffe's x - 2 x [x >= 0] is NaN."""
    step = like(x, 1) if x >= like(x, 0) else like(x, 0)
    return log1p(exp(-abs(x))) - x * (t - step) + (x - x)


@kernel("real[]", "real[]", "int64", "double[]", shared=("double",) * WARPS)
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


def _problem(device: Device, name: str, x: Any, t: Any, ignore_label: int | None, normalization: str) -> Problem:
    mode, ignore = mode_of(normalization), ignored(ignore_label)
    logits = floats(device, x, name)
    targets = floats(device, t, "t", logits)
    counted = divisor_of(device, mode, same_samples(logits, targets), targets, ignore)
    losses = Launch(sum_losses, blocks(logits.size), (ignore,))
    gradient = Launch(differentiate, blocks(logits.size), (*counted, ignore))
    return Problem(device, logits, (logits.array, targets.array), losses, gradient, counted)


sigmoid_cross_entropy_loss, backward = host_functions(cpu, _problem)
