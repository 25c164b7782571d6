"""What SoftmaxWithLoss and InfogainLoss share on the host: a label for every position, and what it is divided by."""

from __future__ import annotations

from typing import Any

from refimpl.fast.cpu.arguments import Positions, ignored, mode_of
from refimpl.fast.cuda.arguments import floats, integers, matrix_of
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.normaliser import divisor_of
from refimpl.fast.cuda.problem import Labels, Launch, Problem
from refimpl.fast.cuda.team import team_blocks, team_width

__all__ = ["logits_problem"]


def logits_problem(
    kernels: tuple[Kernel, Kernel],
    device: Device,
    name: str,
    x: Any,
    labels: Any,
    matrix: Any,
    axis: int,
    ignore_label: int | None,
    normalization: str,
) -> Problem:
    """Of logits, or of their softmax; `kernels` adds up the losses and differentiates them. `matrix` may be None."""
    mode, ignore = mode_of(normalization), ignored(ignore_label)
    values = floats(device, x, name)
    given = integers(device, labels, "labels", values)
    positions = Positions(values.shape, axis)
    positions.check_labels(given)
    outer, classes, inner = positions.form
    extra = () if matrix is None else (matrix_of(device, matrix, classes, values).array,)
    counted, width = divisor_of(device, mode, outer, given, ignore), team_width(classes, inner)
    blocks, geometry = team_blocks(given.size, width), (classes, inner, width, ignore)
    losses, gradient = Launch(kernels[0], blocks, geometry), Launch(kernels[1], blocks, (*counted, *geometry))
    known = Labels(given, classes, positions.shape, ignore)
    return Problem(device, values, (values.array, given.array, *extra), losses, gradient, counted, known)
