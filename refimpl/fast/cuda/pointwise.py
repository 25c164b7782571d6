# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Pointwise: the kernels for a GPU that are made of a formula (`refimpl.fast.formula`), and what runs them.

A loss whose module for CPUs has a ``FORMULA`` needs no file in this package.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cpu.arguments import NO_LABEL, ignored, mode_of, of_every_entry, same_samples
from refimpl.fast.cuda.arguments import Input, floats
from refimpl.fast.cuda.device import Device
from refimpl.fast.cuda.grid import WARPS, blocks, first, stride
from refimpl.fast.cuda.kernel import Kernel, kernel
from refimpl.fast.cuda.normaliser import Divisor, divisor, divisor_of
from refimpl.fast.cuda.problem import Launch, Problem, host_functions
from refimpl.fast.cuda.reduction import block_sum
from refimpl.fast.formula import Formula, at_entry
from refimpl.fast.scalar import truncated

__all__ = ["module_of"]

Function = Callable[..., Any]

INPUTS = ("real[]",) * 4
"""x, t, u, v; weights that are absent are empty."""

SETTINGS = ("real",) * 4
"""The most that a formula has; what it does not have is 0."""


def module_of(cpu: ModuleType) -> ModuleType:
    """What the module of a loss on a GPU has, from the module of the same loss on a CPU: the function, ``backward``,
    and the kernels."""
    formula: Formula = cpu.FORMULA
    made = ModuleType(f"{__package__}.{formula.stem}", cpu.__doc__)
    defaults = inspect.signature(getattr(cpu, formula.stem)).parameters
    settings = formula.settings(**{name: defaults[name].default for name in formula.options})
    sum_losses, differentiate = _kernels(formula, len(settings))

    def prepare(device: Device, name: str, x: Any, t: Any, *weights: Any, **options: Any) -> Problem:
        a = floats(device, x, name)
        b = floats(device, t, formula.names[1], a)
        num, count = same_samples(a, b), blocks(a.size)
        absent = device.empty(0, a.dtype)
        of_entries = [_weights(device, each, label, a) for each, label in zip(weights, formula.weights, strict=True)]
        arrays = a.array, b.array, *(absent if each is None else each.array for each in of_entries)
        arrays += (absent,) * (len(INPUTS) - len(arrays))
        numbers = [a.dtype.type(number) for number in formula.settings(**{n: options[n] for n in formula.options})]
        numbers += [a.dtype.type(0)] * (len(SETTINGS) - len(numbers))
        ignore, z, whole = NO_LABEL, Divisor(device.empty(0, np.int64), num), Divisor(absent, 0)
        if formula.counts:
            ignore = ignored(options["ignore_label"])
            z = whole = divisor_of(device, mode_of(options["normalization"]), num, b, ignore)
        losses = Launch(sum_losses, count, (ignore, *numbers))
        gradient = Launch(differentiate, count, (*z, ignore, *numbers))
        return Problem(device, a, arrays, losses, gradient, whole if formula.counts else formula.parts * num, pair=b)

    prepare.__module__ = made.__name__
    function, backward = host_functions(cpu, prepare)
    vars(made).update({formula.stem: function, "backward": backward})
    vars(made).update(sum_losses=sum_losses, differentiate=differentiate)
    return made


def _weights(device: Device, given: Any, name: str, x: Input) -> Input | None:
    """Weights on the device. Raises ValueError unless there is one for every entry of x."""
    if given is None:
        return None
    made = floats(device, given, name, x)
    of_every_entry(made, name, x)
    return made


def _kernels(formula: Formula, count: int) -> tuple[Kernel, Kernel]:
    """The kernel that adds up losses, and the one for the gradients; the formula has so many settings."""
    arrays, pair = len(formula.names), len(formula.outputs) > 1
    value, slope = (register_jitable(at_entry(register_jitable(one), arrays)) for one in (formula.value, formula.slope))
    counted = _is_counted if formula.counts else _every
    settings_of = (_none, _one, _two, _three, _four)[count]

    @kernel(*INPUTS, "int64", *SETTINGS, "double[]", shared=("double",) * WARPS)
    def sum_losses(x: Any, t: Any, u: Any, v: Any, ignore: int, a: Any, b: Any, c: Any, d: Any, sums: Any) -> None:
        """The losses of each block's entries, added up."""
        scratch = cuda.shared.array(WARPS, np.float64)
        settings = settings_of(a, b, c, d)
        loss = np.float64(0)
        for i in range(first(), x.size, stride()):
            if counted(t[i], ignore):
                loss += np.float64(value(x[i], t[i], _weight(u, i, x), _weight(v, i, x), settings))
        loss = block_sum(loss, scratch)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = loss

    @register_jitable
    def gradient(i: int, x: Any, t: Any, u: Any, v: Any, ignore: int, settings: Any, scale: Any) -> Any:
        """That of x at an entry."""
        found = slope(x[i], t[i], _weight(u, i, x), _weight(v, i, x), settings) * scale
        return found if counted(t[i], ignore) else x.dtype.type(0)

    taken = (*INPUTS, "real[]", "int64[]", "int64", "int64", *SETTINGS)

    def for_one(
        x: Any, t: Any, u: Any, v: Any, top_diff: Any, counts: Any, known: int, ignore: int,
        a: Any, b: Any, c: Any, d: Any, out: Any,
    ) -> None:  # fmt: skip
        """The gradient."""
        settings = settings_of(a, b, c, d)
        scale = top_diff[0] / x.dtype.type(divisor(counts, known))
        for i in range(first(), x.size, stride()):
            out[i] = gradient(i, x, t, u, v, ignore, settings, scale)

    def for_two(
        x: Any, t: Any, u: Any, v: Any, top_diff: Any, counts: Any, known: int, ignore: int,
        a: Any, b: Any, c: Any, d: Any, out_a: Any, out_b: Any,
    ) -> None:  # fmt: skip
        """The gradients; an empty array where one is not wanted."""
        settings = settings_of(a, b, c, d)
        scale = top_diff[0] / x.dtype.type(divisor(counts, known))
        for i in range(first(), x.size, stride()):
            found = gradient(i, x, t, u, v, ignore, settings, scale)
            if out_a.size > 0:
                out_a[i] = found
            if out_b.size > 0:
                out_b[i] = -found

    made = kernel(*taken, "real[]", "real[]")(for_two) if pair else kernel(*taken, "real[]")(for_one)
    return (
        replace(sum_losses, name=f"{formula.stem}.sum_losses"),
        replace(made, name=f"{formula.stem}.differentiate"),
    )


@register_jitable
def _weight(weights: Any, i: int, x: Any) -> Any:
    """The weight of an entry, 1 where there are none."""
    return weights[i] if weights.size > 0 else x.dtype.type(1)


@register_jitable
def _every(label: Any, ignore: int) -> bool:
    return True


@register_jitable
def _is_counted(label: Any, ignore: int) -> bool:
    return truncated(label) != ignore


@register_jitable
def _none(a: Any, b: Any, c: Any, d: Any) -> Any:
    return ()


@register_jitable
def _one(a: Any, b: Any, c: Any, d: Any) -> Any:
    return (a,)


@register_jitable
def _two(a: Any, b: Any, c: Any, d: Any) -> Any:
    return a, b


@register_jitable
def _three(a: Any, b: Any, c: Any, d: Any) -> Any:
    return a, b, c


@register_jitable
def _four(a: Any, b: Any, c: Any, d: Any) -> Any:
    return a, b, c, d
