"""What HingeLoss and MultinomialLogisticLoss share on the host: a vector per sample, and one label for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refimpl.fast.cpu.arguments import labels_of_samples
from refimpl.fast.cuda.arguments import Input, floats, integers
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.problem import Labels, Launch, Problem
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
    def checked(cls, device: Device, name: str, x: Any, labels: Any, *, exactly: bool = False) -> Samples:
        """Raises TypeError and ValueError as the layers' functions document."""
        values = floats(device, x, name)
        given = integers(device, labels, "labels", values)
        return cls(device, values, given, labels_of_samples(values, given, exactly=exactly))

    @property
    def classes(self) -> int:
        return self.x.size // self.num

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Samples, classes, and the threads of a team."""
        return self.num, self.classes, team_width(self.classes, 1)

    @property
    def blocks(self) -> int:
        return team_blocks(self.num, self.geometry[2])

    def problem(self, losses: Launch, gradient: Launch) -> Problem:
        labels = Labels(self.labels, self.classes, (self.num,))
        return Problem(self.device, self.x, (self.x.array, self.labels.array), losses, gradient, self.num, labels)
