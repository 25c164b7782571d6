# mypy: disable-error-code="no-any-return, untyped-decorator"
"""ContrastiveLoss on a GPU (``src/caffe/layers/contrastive_loss_layer.cpp``).

``L = sum_i (s_i ? d_i^2 : max(margin - d_i, 0)^2) / (2 N)``, d_i the distance of a pair; legacy: ``max(margin - d_i^2,
0)``. ``dL/da = w (a - b) / N`` for a similar pair; for a dissimilar one within the margin ``-w (margin - d) / (d +
1e-4) (a - b) / N``, legacy ``-w (a - b) / N``, otherwise 0; ``dL/db = -dL/da``. The added 1e-4 is Caffe's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu import contrastive_loss as cpu
from refimpl.fast.cpu.arguments import labels_of_samples, same_samples
from refimpl.fast.cuda.arguments import floats, integers
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum, team_sum
from refimpl.fast.cuda.team import first_position, position_stride, team_at, team_blocks, team_width
from refimpl.fast.scalar import like, sqrt, truncated

__all__ = ["backward", "contrastive_loss"]


@register_jitable
def _squared_distance(a: Any, b: Any, team: Any, width: int, scratch: Any) -> Any:
    """Of a pair, in every thread of its team."""
    squared = a.dtype.type(0)
    for c in range(team.lane, team.size, width):
        difference = a[team.base + c] - b[team.base + c]
        squared += difference * difference
    return team_sum(squared, width, scratch)


@register_jitable
def _loss(squared: Any, similar: bool, margin: Any, legacy: bool) -> Any:
    """Twice the loss of a pair. max(NaN, 0) is NaN, as in Caffe."""
    if similar:
        return squared
    missing = margin - (squared if legacy else sqrt(squared))
    missing = like(missing, 0) if missing < like(missing, 0) else missing
    return missing if legacy else missing * missing


@register_jitable
def _pull(squared: Any, similar: bool, margin: Any, legacy: bool) -> Any:
    """What multiplies w (a - b) / N in the gradient of a pair."""
    if similar:
        return like(squared, 1)
    distance = squared if legacy else sqrt(squared)
    missing = margin - distance
    if not missing > like(missing, 0):
        return like(missing, 0)
    return -like(missing, 1) if legacy else -missing / (distance + like(missing, 1e-4))


@kernel(
    *("real[]", "real[]", "real[]", "int64", "int64", "int64", "real", "boolean", "double[]"),
    shared=("real",) * WARPS + ("double",) * WARPS,
)
def sum_losses(
    a: Any, b: Any, similar: Any, num: int, dim: int, width: int, margin: Any, legacy: bool, sums: Any
) -> None:
    """The losses of each block's pairs, added up."""
    scratch = cuda.shared.array(WARPS, a.dtype)
    scratch_loss = cuda.shared.array(WARPS, np.float64)
    loss = np.float64(0)
    for start in range(first_position(width), num, position_stride(width)):
        team = team_at(start, num, dim, 1, width)
        squared = _squared_distance(a, b, team, width, scratch)
        if team.lane == 0 and team.size > 0:
            loss += np.float64(_loss(squared, truncated(similar[team.position]) != 0, margin, legacy))
    loss = block_sum(loss, scratch_loss)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = loss


@kernel(
    *("real[]", "real[]", "real[]", "real[]", "int64", "int64", "int64", "real", "boolean", "real[]", "real[]"),
    shared=("real",) * WARPS,
)
def differentiate(
    a: Any,
    b: Any,
    similar: Any,
    top_diff: Any,
    num: int,
    dim: int,
    width: int,
    margin: Any,
    legacy: bool,
    out_a: Any,
    out_b: Any,
) -> None:
    """The gradients, an empty array where one is not wanted; 0 even where a pair that is not pulled is infinitely far
    apart."""
    scratch = cuda.shared.array(WARPS, a.dtype)
    scale, zero = top_diff[0] / a.dtype.type(num), a.dtype.type(0)
    for start in range(first_position(width), num, position_stride(width)):
        team = team_at(start, num, dim, 1, width)
        squared = _squared_distance(a, b, team, width, scratch)
        pull = zero
        if team.size > 0:
            pull = _pull(squared, truncated(similar[team.position]) != 0, margin, legacy)
        for c in range(team.lane, team.size, width):
            i = team.base + c
            gradient = (a[i] - b[i]) * (pull * scale) if pull != zero else zero
            if out_a.size > 0:
                out_a[i] = gradient
            if out_b.size > 0:
                out_b[i] = -gradient


def _problem(device: Device, name: str, a: Any, b: Any, similar: Any, margin: float, legacy_version: bool) -> Problem:
    first = floats(device, a, name)
    second = floats(device, b, "b", first)
    num = same_samples(first, second)
    flags = integers(device, similar, "similar", first)
    labels_of_samples(first, flags)
    dim = first.size // num
    width = team_width(dim, 1)
    settings = num, dim, width, first.dtype.type(margin), bool(legacy_version)
    losses, gradient = (Launch(one, team_blocks(num, width), settings) for one in (sum_losses, differentiate))
    return Problem(device, first, (first.array, second.array, flags.array), losses, gradient, 2 * num, pair=second)


contrastive_loss, backward = host_functions(cpu, _problem)
