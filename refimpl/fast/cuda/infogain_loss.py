# mypy: disable-error-code="no-any-return, untyped-decorator"
"""InfogainLoss on a GPU (``src/caffe/layers/infogain_loss_layer.cpp``).

``L = -sum_l H[y, l] log(max(p_l, 1e-20)) / Z`` summed over the counted positions, p the softmax of the logits and y the
label; ``dL/dx_l = w (p_l sum_k H[y, k] - H[y, l]) / Z`` there, also where the logarithm is at its floor, and 0
elsewhere. The floor is a float in Caffe, whatever the type of the net.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.dtypes import FLOAT
from refimpl.fast.cpu import infogain_loss as cpu
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.logits import logits_problem
from refimpl.fast.cuda.normaliser import divisor
from refimpl.fast.cuda.problem import Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum, team_sum
from refimpl.fast.cuda.softmax import IGNORED, WRONG, class_of, exponentials, largest, store
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import log, truncated

__all__ = ["backward", "infogain_loss"]

LOG_FLOOR = math.log(float(FLOAT.rounded(1e-20)))
"""The logarithm of kLOG_THRESHOLD."""


@register_jitable
def _loss(x: Any, matrix: Any, label: int, most: Any, logarithm: Any, team: Any, inner: int, width: int) -> Any:
    """This thread's part of the loss of a position of this class, in float64."""
    floor, loss = x.dtype.type(LOG_FLOOR), np.float64(0)
    for c in range(team.lane, team.size, width):
        value = x[team.base + c * inner] - most - logarithm
        loss += np.float64(-matrix[label * team.size + c] * (floor if value < floor else value))
    return loss


@kernel(
    *("real[]", "real[]", "real[]", "int64", "int64", "int64", "int64", "real[]", "double[]"),
    shared=("real",) * WARPS + ("double",) * WARPS,
)
def sum_losses(
    x: Any, labels: Any, matrix: Any, classes: int, inner: int, width: int, ignore: int, prob: Any, sums: Any
) -> None:
    """The losses of each block's positions, added up, NaN for a label that is no class; and the softmax, if wanted."""
    scratch = cuda.shared.array(WARPS, x.dtype)
    scratch_loss = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for start in range(first_position(width), labels.size, position_stride(width)):
        team = team_at(start, labels.size, classes, inner, width)
        most = largest(x, team, inner, width, scratch)
        total = exponentials(x, most, team, inner, width, scratch)
        if team.size > 0:
            label = class_of(truncated(labels[team.position]), classes, ignore)
            if label >= 0:
                loss += _loss(x, matrix, label, most, log(total), team, inner, width)
            else:
                loss += np.float64(x.dtype.type(np.nan) if label == WRONG else x.dtype.type(0))
        if prob.size > 0:
            store(x, most, total, team, inner, width, prob)
    loss = block_sum(loss, scratch_loss)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel(
    *("real[]", "real[]", "real[]", "real[]", "int64[]", "int64", "int64", "int64", "int64", "int64", "real[]"),
    shared=("real",) * WARPS,
)
def differentiate(
    prob: Any,
    labels: Any,
    matrix: Any,
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
    scratch = cuda.shared.array(WARPS, prob.dtype)
    scale = top_diff[0] / prob.dtype.type(divisor(count, known))
    for start in range(first_position(width), labels.size, position_stride(width)):
        team = team_at(start, labels.size, classes, inner, width)
        label = class_of(truncated(labels[team.position]), classes, ignore) if team.size > 0 else IGNORED
        row = label * classes if label >= 0 else 0
        total = prob.dtype.type(0)
        for c in range(team.lane, team.size, width):
            total += matrix[row + c]
        total = team_sum(total, width, scratch)
        otherwise = prob.dtype.type(0) if label == IGNORED else prob.dtype.type(np.nan)
        for c in range(team.lane, team.size, width):
            i = team.base + c * inner
            out[i] = (prob[i] * total - matrix[row + c]) * scale if label >= 0 else otherwise


def _problem(device: Device, name: str, x: Any, labels: Any, matrix: Any, **options: Any) -> Problem:
    return logits_problem((sum_losses, differentiate), device, name, x, labels, matrix, **options)


infogain_loss, backward = host_functions(cpu, _problem)
