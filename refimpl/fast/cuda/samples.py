"""What HingeLoss and MultinomialLogisticLoss share on the host: a vector per sample, and one label for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.fast.cpu.arguments import labels_of_samples, refuse_labels
from refimpl.fast.cuda.arguments import Input, Loss, Output, floats, integers, weight
from refimpl.fast.cuda.device import Device, current
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.team import team_blocks, team_width

__all__ = ["Samples"]


@dataclass(frozen=True)
class Samples:
    """Checked arguments on the device, and the shape of a launch over them."""

    device: Device
    x: Input
    labels: Input
    num: int

    @classmethod
    def checked(cls, x: Any, name: str, labels: Any, *, exactly: bool = False) -> Samples:
        """Raises TypeError and ValueError as the layers' functions document."""
        device = current()
        values = floats(device, x, name)
        given = integers(device, labels, "labels", values)
        return cls(device, values, given, labels_of_samples(values, given, exactly=exactly))

    @property
    def classes(self) -> int:
        return self.x.size // self.num

    @property
    def arrays(self) -> tuple[Any, Any]:
        return self.x.array, self.labels.array

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Samples, classes, and the threads of a team."""
        return self.num, self.classes, team_width(self.classes, 1)

    @property
    def blocks(self) -> int:
        return team_blocks(self.num, self.geometry[2])

    def differentiate(self, kernel: Kernel, top_diff: Any, out: Output, *settings: Any) -> None:
        """Launch the gradient."""
        scale = weight(self.device, top_diff, self.x)
        self.device.launch(kernel, self.blocks, *self.arrays, scale, *self.geometry, *settings, out.array)

    def finish(self, loss: Loss | None, gradient: Output) -> float | None:
        """The loss, and the gradient where it is wanted. Raises ValueError for the first label that is no class, where
        a NaN on the host says that there may be one."""
        value, made = None if loss is None else loss.value(), gradient.finish()
        if (value is not None and math.isnan(value)) or (made is not None and np.isnan(made).any()):
            refuse_labels(self.device.fetch(self.labels.array)[: self.num], self.classes, (self.num,))
        return value
