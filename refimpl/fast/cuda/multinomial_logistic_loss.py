# mypy: disable-error-code="no-any-return, untyped-decorator"
"""MultinomialLogisticLoss on a GPU (``src/caffe/layers/multinomial_logistic_loss_layer.cpp``).

``L = -sum log(max(p_label, 1e-20)) / N``; ``dL/dp = -w / (N max(p, 1e-20))`` at the label, also where p is below, and 0
elsewhere. The floor is a float in Caffe, whatever the type of the net.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.arguments import Loss, Output
from refimpl.fast.cuda.grid import BLOCK, WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import add_up
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.cuda.samples import Samples
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import like, log, truncated

__all__ = ["backward", "multinomial_logistic_loss"]

FLOOR = float(np.float32(1e-20))
"""kLOG_THRESHOLD."""


@register_jitable
def _floored(p: Any) -> Any:
    """NaN stays NaN."""
    return like(p, FLOOR) if p < like(p, FLOOR) else p


@register_jitable
def _loss(p: Any, sample: int, label: int, classes: int) -> Any:
    """Of a sample; NaN for a label that is no class."""
    if label < 0 or label >= classes:
        return p.dtype.type(np.nan)
    return -log(_floored(p[sample * classes + label]))


@kernel(*("real[]", "real[]", "int64", "int64", "float64[]"), shared=("float64",) * WARPS)
def sum_losses(p: Any, labels: Any, num: int, classes: int, sums: Any) -> None:
    """The losses of each block's samples, one thread each, added up; NaN for a label that is no class."""
    scratch = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for sample in range(first(), num, stride()):
        loss += np.float64(_loss(p, sample, truncated(labels[sample]), classes))
    loss = block_sum(loss, scratch)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel(*("real[]", "real[]", "real[]", "int64", "int64", "int64", "real[]"))
def differentiate(p: Any, labels: Any, top_diff: Any, num: int, classes: int, width: int, out: Any) -> None:
    """The gradient; NaN where a label is no class."""
    scale, zero = top_diff[0] / p.dtype.type(num), p.dtype.type(0)
    for start in range(first_position(width), num, position_stride(width)):
        team = team_at(start, num, classes, 1, width)
        if team.size > 0:
            label = truncated(labels[team.position])
            otherwise = p.dtype.type(np.nan) if label < 0 or label >= classes else zero
            for c in range(team.lane, team.size, width):
                i = team.base + c
                out[i] = -scale / _floored(p[i]) if c == label else otherwise


def multinomial_logistic_loss(
    p: Any, labels: Any, *, top_diff: Any = 1.0, out: Any = None, loss: Any = None
) -> float | None:
    """The loss, and the gradient, if there is an array to write it to.

    `p`: probabilities, float32 or float64; N samples along the first axis, everything else flattened to classes.
    `labels`: N numbers in any shape, truncated toward zero. `out`: like p; receives the gradient for the given
    `top_diff` (the top's diff, that is the weight): a number or an array of one. `loss`: an array of one entry that
    receives the loss, which is then not returned. All arrays are NumPy's or a device's
    (`refimpl.fast.cuda.arguments`).

    Raises TypeError for other dtypes; ValueError for another number of labels, an empty batch, and a label that is no
    class (`out` is then undefined; with a `loss` on the device nothing is raised, and it is NaN); NoDevice.
    """
    samples = Samples.checked(p, "p", labels, exactly=True)
    device, count = samples.device, blocks(samples.num, BLOCK)
    gradient, answer = Output(device, out, "out", samples.x), Loss(device, loss, samples.x)
    sums = device.empty(count, np.float64)
    device.launch(sum_losses, count, *samples.arrays, samples.num, samples.classes, sums)
    add_up(device, sums, samples.num, answer)
    if gradient.wanted:
        samples.differentiate(differentiate, top_diff, gradient)
    return samples.finish(answer, gradient)


def backward(p: Any, labels: Any, *, top_diff: Any, out: Any) -> None:
    """The gradient alone; arguments as for `multinomial_logistic_loss`. On the device it is NaN where a label is no
    class."""
    samples = Samples.checked(p, "p", labels, exactly=True)
    gradient = Output(samples.device, out, "out", samples.x)
    samples.differentiate(differentiate, top_diff, gradient)
    samples.finish(None, gradient)
