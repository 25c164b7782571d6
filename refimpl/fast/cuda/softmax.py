# mypy: disable-error-code="no-any-return, untyped-decorator"
"""The softmax of a position, ``p_c = exp(x_c - max x) / sum exp(x_k - max x)``, by the threads of its team.

(``src/caffe/layers/softmax_layer.cpp``.) A NaN is passed over by the maximum, but not by the sum of exponentials; so it
spoils its position, and no other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu.arguments import Positions
from refimpl.fast.cuda.arguments import Output, floats
from refimpl.fast.cuda.device import current
from refimpl.fast.cuda.grid import WARPS
from refimpl.fast.cuda.kernel import kernel
from refimpl.fast.cuda.reduction import team_max, team_sum
from refimpl.fast.cuda.team import first_position, position_stride, team_at, team_blocks, team_width
from refimpl.fast.scalar import exp

__all__ = ["add_gradient", "backward", "class_of", "exponentials", "largest", "store"]

IGNORED, WRONG = -1, -2


@register_jitable
def largest(x: Any, team: Any, inner: int, width: int, scratch: Any) -> Any:
    """The largest entry of a position."""
    most = x.dtype.type(-np.inf)
    for c in range(team.lane, team.size, width):
        value = x[team.base + c * inner]
        most = value if value > most else most
    return team_max(most, width, scratch)


@register_jitable
def exponentials(x: Any, most: Any, team: Any, inner: int, width: int, scratch: Any) -> Any:
    """The sum of exp(x - most) over a position."""
    total = x.dtype.type(0)
    for c in range(team.lane, team.size, width):
        total += exp(x[team.base + c * inner] - most)
    return team_sum(total, width, scratch)


@register_jitable
def store(x: Any, most: Any, total: Any, team: Any, inner: int, width: int, prob: Any) -> None:
    """Write the softmax. To compute an exponential again takes less time than to fetch it from memory."""
    factor = x.dtype.type(1) / total
    for c in range(team.lane, team.size, width):
        i = team.base + c * inner
        prob[i] = exp(x[i] - most) * factor


@register_jitable
def class_of(label: int, classes: int, ignore: int) -> int:
    """A truncated label as a class, or `IGNORED`, or `WRONG`."""
    if label == ignore:
        return IGNORED
    return label if label >= 0 and label < classes else WRONG


@kernel("real[]", "real[]", "int64", "int64", "int64", "real[]", shared=("real",) * WARPS)
def add_gradient(prob: Any, diff: Any, classes: int, inner: int, width: int, out: Any) -> None:
    """Add to `out` what a second top's diff sends through the softmax: ``p_c (d_c - sum_k p_k d_k)``."""
    scratch = cuda.shared.array(WARPS, prob.dtype)
    positions = prob.size // classes
    for start in range(first_position(width), positions, position_stride(width)):
        team = team_at(start, positions, classes, inner, width)
        dot = prob.dtype.type(0)
        for c in range(team.lane, team.size, width):
            i = team.base + c * inner
            dot += prob[i] * diff[i]
        dot = team_sum(dot, width, scratch)
        for c in range(team.lane, team.size, width):
            i = team.base + c * inner
            out[i] += prob[i] * (diff[i] - dot)


def backward(prob: Any, diff: Any, *, axis: int = 1, out: Any) -> None:
    """Add to `out` what the diff of a softmax sends to its logits; all three have one shape and dtype.

    Raises TypeError and ValueError as the losses of logits do.
    """
    device = current()
    p = floats(device, prob, "prob")
    d = floats(device, diff, "diff", p)
    _, classes, inner = Positions(p.shape, axis).form
    gradient, width = Output(device, out, "out", p, keep=True), team_width(classes, inner)
    count = team_blocks(p.size // classes, width)
    device.launch(add_gradient, count, p.array, d.array, classes, inner, width, gradient.array)
    gradient.finish()
