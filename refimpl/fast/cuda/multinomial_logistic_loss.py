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

from refimpl.fast.cpu import multinomial_logistic_loss as cpu
from refimpl.fast.cpu.multinomial_logistic_loss import FLOOR
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import BLOCK, WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.cuda.samples import Samples
from refimpl.fast.cuda.team import first_position, position_stride, team_at
from refimpl.fast.scalar import like, log, truncated

__all__ = ["backward", "multinomial_logistic_loss"]


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


@kernel(*("real[]", "real[]", "int64", "int64", "double[]"), shared=("double",) * WARPS)
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


def _problem(device: Device, name: str, p: Any, labels: Any) -> Problem:
    samples = Samples.checked(device, name, p, labels, exactly=True)
    losses = Launch(sum_losses, blocks(samples.num, BLOCK), (samples.num, samples.classes))
    return samples.problem(losses, Launch(differentiate, samples.blocks, samples.geometry))


multinomial_logistic_loss, backward = host_functions(cpu, _problem)
