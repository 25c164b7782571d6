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

from refimpl.fast.cpu import hinge_loss as cpu
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.cuda.samples import Samples
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import truncated

__all__ = ["backward", "hinge_loss"]


_margin, _loss, _slope = (register_jitable(one) for one in (cpu.margin_of, cpu.value, cpu.slope))


@kernel(
    *("real[]", "real[]", "int64", "int64", "int64", "boolean", "double[]"),
    shared=("double",) * WARPS,
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


def _problem(device: Device, name: str, x: Any, labels: Any, norm: str) -> Problem:
    squared = cpu.norm_of(norm) == cpu.L2
    scores = Samples.checked(device, name, x, labels)
    losses, gradient = (Launch(one, scores.blocks, (*scores.geometry, squared)) for one in (sum_losses, differentiate))
    return scores.problem(losses, gradient)


hinge_loss, backward = host_functions(cpu, _problem)
