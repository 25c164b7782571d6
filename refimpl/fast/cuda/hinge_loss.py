# mypy: disable-error-code="no-any-return, untyped-decorator"
"""HingeLoss on a GPU (``src/caffe/layers/hinge_loss_layer.cpp``).

``L = sum m^p / N`` with the margins ``m = max(0, 1 + x)``, at the label ``max(0, 1 - x)``; p is 1 or 2. ``dL/dx = w
sign(m) / N`` or ``2 w m / N``, negated at the label.

max(0, NaN) is 0, as ``std::max(Dtype(0), x)`` has it in Caffe: a NaN score adds nothing to the loss and gets no
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.arguments import Loss, Output
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import add_up
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.cuda.samples import Samples
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import like, truncated

__all__ = ["backward", "hinge_loss"]


@register_jitable
def _margin(x: Any, at_label: bool) -> Any:
    margin = like(x, 1) - x if at_label else like(x, 1) + x
    return margin if margin > like(x, 0) else like(x, 0)


@register_jitable
def _loss(margin: Any, squared: bool) -> Any:
    return margin * margin if squared else margin


@register_jitable
def _slope(margin: Any, squared: bool) -> Any:
    """The derivative of the loss by its margin."""
    if squared:
        return margin + margin
    return like(margin, 1) if margin > like(margin, 0) else like(margin, 0)


@kernel(
    *("real[]", "real[]", "int64", "int64", "int64", "boolean", "float64[]"),
    shared=("float64",) * WARPS,
)
def sum_losses(x: Any, labels: Any, num: int, classes: int, width: int, squared: bool, sums: Any) -> None:
    """The losses of each block's samples, added up; NaN for a label that is no class."""
    scratch = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for start in range(first_position(width), num, position_stride(width)):
        team = team_at(start, num, classes, 1, width)
        if team.size > 0:
            label = truncated(labels[team.position])
            wrong = label < 0 or label >= classes
            for c in range(team.lane, team.size, width):
                value = _loss(_margin(x[team.base + c], c == label), squared)
                loss += np.float64(x.dtype.type(np.nan) if wrong else value)
    loss = block_sum(loss, scratch)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel(*("real[]", "real[]", "real[]", "int64", "int64", "int64", "boolean", "real[]"))
def differentiate(
    x: Any, labels: Any, top_diff: Any, num: int, classes: int, width: int, squared: bool, out: Any
) -> None:
    """The gradient; NaN where a label is no class."""
    scale = top_diff[0] / x.dtype.type(num)
    for start in range(first_position(width), num, position_stride(width)):
        team = team_at(start, num, classes, 1, width)
        if team.size > 0:
            label = truncated(labels[team.position])
            wrong = label < 0 or label >= classes
            for c in range(team.lane, team.size, width):
                i = team.base + c
                slope = _slope(_margin(x[i], c == label), squared)
                gradient = (-slope if c == label else slope) * scale
                out[i] = x.dtype.type(np.nan) if wrong else gradient


def hinge_loss(
    x: Any, labels: Any, *, norm: str = "L1", top_diff: Any = 1.0, out: Any = None, loss: Any = None
) -> float | None:
    """The loss, and the gradient, if there is an array to write it to.

    `x`: scores, float32 or float64; N samples along the first axis, everything else flattened to classes. `labels`:
    numbers, truncated toward zero, at least N of them in any shape (what follows the first N is not read, as in Caffe).
    `norm`: "L1" or "L2". `out`: like x; receives the gradient for the given `top_diff` (the top's diff, that is the
    weight): a number or an array of one. `loss`: an array of one entry that receives the loss, which is then not
    returned. All arrays are NumPy's or a device's (`refimpl.fast.cuda.arguments`).

    Raises TypeError for other dtypes; ValueError for too few labels, an empty batch, an unknown `norm`, and a label
    that is no class (`out` is then undefined; with a `loss` on the device nothing is raised, and it is NaN); NoDevice.
    """
    squared = _squared(norm)
    scores = Samples.checked(x, "x", labels)
    device = scores.device
    gradient, answer = Output(device, out, "out", scores.x), Loss(device, loss, scores.x)
    sums = device.empty(scores.blocks, np.float64)
    device.launch(sum_losses, scores.blocks, *scores.arrays, *scores.geometry, squared, sums)
    add_up(device, sums, scores.num, answer)
    if gradient.wanted:
        scores.differentiate(differentiate, top_diff, gradient, squared)
    return scores.finish(answer, gradient)


def backward(x: Any, labels: Any, *, norm: str = "L1", top_diff: Any, out: Any) -> None:
    """The gradient alone; arguments as for `hinge_loss`. On the device it is NaN where a label is no class."""
    squared = _squared(norm)
    scores = Samples.checked(x, "x", labels)
    gradient = Output(scores.device, out, "out", scores.x)
    scores.differentiate(differentiate, top_diff, gradient, squared)
    scores.finish(None, gradient)


def _squared(norm: str) -> bool:
    if norm not in ("L1", "L2"):
        raise ValueError(f"norm is {norm!r}: give L1 or L2")
    return norm == "L2"
