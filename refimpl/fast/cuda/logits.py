"""What SoftmaxWithLoss and InfogainLoss share on the host: checks, launches, and labels that are no classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.fast.cpu.arguments import Positions, ignored, mode_of, refuse_labels
from refimpl.fast.cuda.arguments import Input, Loss, Output, floats, integers, matrix_of, weight
from refimpl.fast.cuda.device import Device, current
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.normaliser import add_up, divisor_of
from refimpl.fast.cuda.team import team_blocks, team_width

__all__ = ["Logits", "Options", "gradient_of_softmax", "loss_of_logits"]

Options = tuple[int, int | None, str]
"""axis, ignore_label, normalization."""


@dataclass(frozen=True)
class Logits:
    """Logits (or their softmax) and labels on the device, and the shape of a launch over them."""

    device: Device
    x: Input
    labels: Input
    matrix: tuple[Any, ...]
    positions: Positions
    mode: int
    ignore: int

    @classmethod
    def checked(cls, x: Any, name: str, labels: Any, matrix: Any, options: Options) -> Logits:
        """Raises TypeError and ValueError as the layers' functions document."""
        axis, ignore_label, normalization = options
        device, mode = current(), mode_of(normalization)
        values = floats(device, x, name)
        given = integers(device, labels, "labels", values)
        positions = Positions(values.shape, axis)
        positions.check_labels(given)
        extra = () if matrix is None else (matrix_of(device, matrix, positions.classes, values).array,)
        return cls(device, values, given, extra, positions, mode, ignored(ignore_label))

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Classes, how far apart they lie, and the threads of a team."""
        _, classes, inner = self.positions.form
        return classes, inner, team_width(classes, inner)

    @property
    def blocks(self) -> int:
        return team_blocks(self.labels.size, self.geometry[2])

    def differentiate(self, kernel: Kernel, prob: Any, top_diff: Any, out: Output) -> None:
        """Launch the gradient."""
        scale = weight(self.device, top_diff, self.x)
        divisor = divisor_of(self.device, self.mode, self.positions.outer, self.labels, self.ignore)
        arrays = prob, self.labels.array, *self.matrix, scale
        self.device.launch(kernel, self.blocks, *arrays, *divisor, *self.geometry, self.ignore, out.array)

    def refuse_labels(self) -> None:
        """Raise ValueError for the first label that is no class and not ignored, if there is one."""
        labels = self.device.fetch(self.labels.array)
        refuse_labels(labels, self.positions.classes, self.positions.shape, self.ignore)


def loss_of_logits(
    kernels: tuple[Kernel, Kernel],
    x: Any,
    labels: Any,
    matrix: Any,
    options: Options,
    top_diff: Any,
    out: Any,
    prob: Any,
    loss: Any,
) -> float | None:
    """What the layers' functions document; `kernels` adds up the losses and differentiates them."""
    logits = Logits.checked(x, "x", labels, matrix, options)
    device = logits.device
    gradient, softmax = Output(device, out, "out", logits.x), Output(device, prob, "prob", logits.x)
    answer, sums = Loss(device, loss, logits.x), device.empty(logits.blocks, np.float64)
    kept = softmax.array if softmax.wanted else gradient.array  # the gradient is made of the softmax, in place
    arrays = logits.x.array, logits.labels.array, *logits.matrix
    device.launch(kernels[0], logits.blocks, *arrays, *logits.geometry, logits.ignore, kept, sums)
    add_up(device, sums, divisor_of(device, logits.mode, logits.positions.outer, logits.labels, logits.ignore), answer)
    if gradient.wanted:
        logits.differentiate(kernels[1], kept, top_diff, gradient)
    value = answer.value()
    if value is not None and math.isnan(value):
        logits.refuse_labels()
    gradient.finish()
    softmax.finish()
    return value


def gradient_of_softmax(
    kernel: Kernel, prob: Any, labels: Any, matrix: Any, options: Options, top_diff: Any, out: Any
) -> None:
    """What the layers' ``backward`` documents."""
    logits = Logits.checked(prob, "prob", labels, matrix, options)
    gradient = Output(logits.device, out, "out", logits.x)
    logits.differentiate(kernel, logits.x.array, top_diff, gradient)
    made = gradient.finish()
    if made is not None and np.isnan(made).any():
        logits.refuse_labels()
