"""Problem: the checked arguments of a loss on the device, and the launches of its two kernels over them.

What a loss has of its own is how its arguments make a problem; `host_functions` makes of that the two functions that
Python calls, which take what their counterparts on the CPU take.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from types import ModuleType
from typing import Any

import numpy as np

from refimpl.fast.cpu.arguments import NO_LABEL, refuse_labels
from refimpl.fast.cuda.arguments import Input, Loss, Output, weight
from refimpl.fast.cuda.device import Device, current
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.normaliser import Divisor, add_up
from refimpl.fast.parameters import Parameters, with_parameters

__all__ = ["Labels", "Launch", "Problem", "host_functions"]


@dataclass(frozen=True)
class Launch:
    """A kernel, its blocks, and what it takes after the arrays that every kernel of its kind takes."""

    kernel: Kernel
    blocks: int
    settings: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Labels:
    """Labels that should be classes or `ignore`, one for each position; there may be more of them than that."""

    given: Input
    classes: int
    positions: tuple[int, ...]
    ignore: int = NO_LABEL


@dataclass(frozen=True)
class Problem:
    """The outputs are like `x` and its `pair`.

    The kernel that adds up losses takes `inputs`, its settings, then the softmax to keep (where there is one) and the
    sums, which are over `divisor`; the one for the gradient `inputs`, of which the softmax is then the first, the
    weight, its settings, then the outputs.
    """

    device: Device
    x: Input
    inputs: tuple[Any, ...]
    losses: Launch
    gradient: Launch
    divisor: Divisor | int
    labels: Labels | None = None
    pair: Input | None = None

    def outputs(self, names: Sequence[str], given: dict[str, Any]) -> list[Output]:
        """Take outputs out of keywords: the first is like `x`, a second gradient like the `pair` of x."""
        likes = (self.x, self.pair or self.x)
        return [
            Output(self.device, given.pop(name, None), name, like) for name, like in zip(names, likes, strict=False)
        ]

    def add_up(self, kept: Sequence[Any], loss: Loss) -> None:
        """Launch the loss."""
        sums = self.device.empty(self.losses.blocks, np.float64)
        self.device.launch(self.losses.kernel, self.losses.blocks, *self.inputs, *self.losses.settings, *kept, sums)
        add_up(self.device, sums, self.divisor, loss)

    def differentiate(self, first: Any, top_diff: Any, outputs: Sequence[Output]) -> None:
        """Launch the gradient."""
        arrays = first, *self.inputs[1:], weight(self.device, top_diff, self.x)
        launch, results = self.gradient, (output.array for output in outputs)
        self.device.launch(launch.kernel, launch.blocks, *arrays, *launch.settings, *results)

    def refuse_labels(self) -> None:
        """Raise ValueError for the first label that is no class, if there is one: a NaN on the host says that there may
        be."""
        if self.labels is not None:
            known, shape = self.labels, self.labels.positions
            labels = self.device.fetch(known.given.array)[: math.prod(shape)]
            refuse_labels(labels, known.classes, shape, known.ignore)


Function = Callable[..., Any]


def host_functions(cpu: ModuleType, prepare: Callable[..., Problem]) -> tuple[Function, Function]:
    """The function of a loss, and its ``backward``, on the current device.

    `cpu`: the module of the same loss on the CPU. `prepare`: makes a `Problem` of the device, the name of the first
    input, the inputs, and the options by name; it raises TypeError and ValueError as the functions document.
    """
    stem = cpu.__name__.rpartition(".")[2]
    function = getattr(cpu, stem)
    takes, starts = Parameters.of(function), Parameters.of(cpu.backward)
    known = inspect.signature(function).parameters
    defaults = {name: known[name].default for name in takes.options}

    def loss_of(*inputs: Any, top_diff: Any = 1.0, loss: Any = None, **given: Any) -> float | None:
        results = {name: given.pop(name, None) for name in (*takes.outputs, *takes.kept)}
        arrays = takes.arrays(inputs, given)
        problem = prepare(current(), takes.inputs[0], *arrays, **{**defaults, **given})
        outputs, softmax = problem.outputs(takes.outputs, results), problem.outputs(takes.kept, results)
        kept = [
            one.array if one.wanted else outputs[0].array for one in softmax
        ]  # the gradient is made of it, in place
        answer = Loss(problem.device, loss, problem.x)
        problem.add_up(kept, answer)
        if any(output.wanted for output in outputs):
            problem.differentiate([*kept, problem.inputs[0]][0], top_diff, outputs)
        value = answer.value()
        if value is not None and math.isnan(value):
            problem.refuse_labels()
        for output in (*outputs, *softmax):
            output.finish()
        return value

    def backward(*inputs: Any, top_diff: Any, **given: Any) -> None:
        if takes.outputs == ("out",) and "out" not in given:
            raise TypeError("backward() needs out")
        results = {name: given.pop(name, None) for name in takes.outputs}
        arrays = starts.arrays(inputs, given)
        problem = prepare(current(), starts.inputs[0], *arrays, **{**defaults, **given})
        outputs = problem.outputs(takes.outputs, results)
        problem.differentiate(problem.inputs[0], top_diff, outputs)
        made = [output.finish() for output in outputs]
        if any(array is not None and np.isnan(array).any() for array in made):
            problem.refuse_labels()

    return _shown(loss_of, function, prepare.__module__), _shown(backward, cpu.backward, prepare.__module__)


DEVICE = """

On the current device (`refimpl.fast.cuda.device`). All arrays are NumPy's or a device's
(`refimpl.fast.cuda.arguments`), of float32 or float64; `top_diff` may be an array of one, too."""

LOSS = """ `loss`: an array of one entry that receives the loss, which is then not returned.

With a `loss` on the device a label that is no class raises nothing, and the loss is NaN. Raises NoDevice."""

GRADIENT = """ A label that is no class makes a gradient on the device NaN. Raises NoDevice."""


def _shown(function: Function, on_cpu: Function, module: str) -> Function:
    """With the signature and the document of the function on the CPU, as far as they hold."""
    signature = inspect.signature(on_cpu)
    parameters = [
        one if one.name in Parameters.of(on_cpu).options else one.replace(annotation="Any")
        for one in signature.parameters.values()
        if one.name != "threads"
    ]
    document = re.sub(r"\s+`threads`:[^.]*\.", "", inspect.getdoc(on_cpu) or "") + DEVICE
    if on_cpu.__name__ == "backward":
        return with_parameters(function, parameters, "None", document + GRADIENT, module, "backward")
    parameters.append(Parameter("loss", Parameter.KEYWORD_ONLY, default=None, annotation="Any"))
    return with_parameters(function, parameters, "float | None", document + LOSS, module, on_cpu.__name__)
