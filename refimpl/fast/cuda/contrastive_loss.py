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

from refimpl.fast.cpu import arguments as host
from refimpl.fast.cuda.arguments import Loss, Output, floats, integers, weight
from refimpl.fast.cuda.device import Device, current
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.normaliser import add_up
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
    *("real[]", "real[]", "real[]", "int64", "int64", "int64", "real", "boolean", "float64[]"),
    shared=("real",) * WARPS + ("float64",) * WARPS,
)
def sum_losses(
    a: Any, b: Any, similar: Any, num: int, dim: int, width: int, margin: Any, legacy: bool, sums: Any
) -> None:
    """The losses of each block's pairs, added up."""
    scratch, scratch_loss = cuda.shared.array(WARPS, a.dtype), cuda.shared.array(WARPS, np.float64)
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


def contrastive_loss(
    a: Any,
    b: Any,
    similar: Any,
    *,
    margin: float = 1.0,
    legacy_version: bool = False,
    top_diff: Any = 1.0,
    out_a: Any = None,
    out_b: Any = None,
    loss: Any = None,
) -> float | None:
    """The loss, and the gradients for a and for b, where there are arrays to write them to.

    `a`, `b`: float32 or float64, both the same; N samples along the first axis with the same number of entries, in any
    shape. `similar`: numbers, at least N of them; one that is not 0 after truncation toward zero means that its pair is
    similar. `out_a`, `out_b`: like a and b; receive the gradients for the given `top_diff` (the top's diff, that is the
    weight): a number or an array of one. `loss`: an array of one entry that receives the loss, which is then not
    returned. All arrays are NumPy's or a device's (`refimpl.fast.cuda.arguments`).

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and for an empty batch, NoDevice.
    """
    device = current()
    pairs = _Pairs(device, a, b, similar, margin, legacy_version)
    answer, sums = Loss(device, loss, pairs.a), device.empty(pairs.blocks, np.float64)
    device.launch(sum_losses, pairs.blocks, *pairs.arrays, *pairs.settings, sums)
    add_up(device, sums, 2 * pairs.num, answer)
    if out_a is not None or out_b is not None:
        pairs.differentiate(top_diff, out_a, out_b)
    return answer.value()


def backward(
    a: Any,
    b: Any,
    similar: Any,
    *,
    margin: float = 1.0,
    legacy_version: bool = False,
    top_diff: Any,
    out_a: Any = None,
    out_b: Any = None,
) -> None:
    """The gradients alone; arguments as for `contrastive_loss`."""
    _Pairs(current(), a, b, similar, margin, legacy_version).differentiate(top_diff, out_a, out_b)


class _Pairs:
    """Checked arguments on the device, and the shape of a launch over them."""

    def __init__(self, device: Device, a: Any, b: Any, similar: Any, margin: float, legacy: bool) -> None:
        self.device = device
        self.a = floats(device, a, "a")
        self.b = floats(device, b, "b", self.a)
        self.num = host.same_samples(self.a, self.b)
        flags = integers(device, similar, "similar", self.a)
        host.labels_of_samples(self.a, flags)
        dim = self.a.size // self.num
        width = team_width(dim, 1)
        self.blocks = team_blocks(self.num, width)
        self.arrays = self.a.array, self.b.array, flags.array
        self.settings = self.num, dim, width, self.a.dtype.type(margin), bool(legacy)

    def differentiate(self, top_diff: Any, out_a: Any, out_b: Any) -> None:
        """Launch the gradients, and bring them where they are wanted."""
        outputs = Output(self.device, out_a, "out_a", self.a), Output(self.device, out_b, "out_b", self.b)
        scale = weight(self.device, top_diff, self.a)
        arrays = (output.array for output in outputs)
        self.device.launch(differentiate, self.blocks, *self.arrays, scale, *self.settings, *arrays)
        for output in outputs:
            output.finish()
