# mypy: disable-error-code="no-any-return, untyped-decorator"
"""SoftmaxWithLoss on a GPU (``src/caffe/layers/softmax_loss_layer.cpp``).

``L = sum min(log sum_j exp x_j - x_label, -log FLT_MIN) / Z`` over the counted positions, which is Caffe's -log
max(p_label, FLT_MIN); ``dL/dx_i = w (p_i - [i = label]) / Z``, also where the loss is capped, and 0 at ignored
positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu import softmax_with_loss as cpu
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.logits import logits_problem
from refimpl.fast.cuda.normaliser import divisor
from refimpl.fast.cuda.problem import Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.cuda.softmax import IGNORED, class_of, exponentials, largest, store
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import log, truncated

__all__ = ["backward", "softmax_with_loss"]

CAP = 87.33654475055310898657
"""-log FLT_MIN: the loss of a position whose label has probability 0, in float64 as well."""


@register_jitable
def _loss(x: Any, base: int, inner: int, label: int, most: Any, total: Any) -> Any:
    """Of the position from `base` on; NaN for a label that is no class."""
    if label < 0:
        return x.dtype.type(0) if label == IGNORED else x.dtype.type(np.nan)
    loss, cap = log(total) - (x[base + label * inner] - most), x.dtype.type(CAP)
    return cap if loss > cap else loss


@kernel(
    *("real[]", "real[]", "int64", "int64", "int64", "int64", "real[]", "double[]"),
    shared=("real",) * WARPS + ("double",) * WARPS,
)
def sum_losses(x: Any, labels: Any, classes: int, inner: int, width: int, ignore: int, prob: Any, sums: Any) -> None:
    """The losses of each block's positions, added up, NaN for a label that is no class; and the softmax, if wanted."""
    scratch = cuda.shared.array(WARPS, x.dtype)
    scratch_loss = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for start in range(first_position(width), labels.size, position_stride(width)):
        team = team_at(start, labels.size, classes, inner, width)
        most = largest(x, team, inner, width, scratch)
        total = exponentials(x, most, team, inner, width, scratch)
        if team.lane == 0 and team.size > 0:
            label = class_of(truncated(labels[team.position]), classes, ignore)
            loss += np.float64(_loss(x, team.base, inner, label, most, total))
        if prob.size > 0:
            store(x, most, total, team, inner, width, prob)
    loss = block_sum(loss, scratch_loss)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel(*("real[]", "real[]", "real[]", "int64[]", "int64", "int64", "int64", "int64", "int64", "real[]"))
def differentiate(
    prob: Any,
    labels: Any,
    top_diff: Any,
    count: Any,
    known: int,
    classes: int,
    inner: int,
    width: int,
    ignore: int,
    out: Any,
) -> None:
    """The gradient from the softmax, which may be in `out` already; NaN where a label is no class."""
    one = prob.dtype.type(1)
    scale = top_diff[0] / prob.dtype.type(divisor(count, known))
    for start in range(first_position(width), labels.size, position_stride(width)):
        team = team_at(start, labels.size, classes, inner, width)
        label = class_of(truncated(labels[team.position]), classes, ignore) if team.size > 0 else IGNORED
        otherwise = prob.dtype.type(0) if label == IGNORED else prob.dtype.type(np.nan)
        for c in range(team.lane, team.size, width):
            i = team.base + c * inner
            out[i] = (prob[i] - one if c == label else prob[i]) * scale if label >= 0 else otherwise


def _problem(device: Device, name: str, x: Any, labels: Any, **options: Any) -> Problem:
    return logits_problem((sum_losses, differentiate), device, name, x, labels, None, **options)


softmax_with_loss, backward = host_functions(cpu, _problem)
