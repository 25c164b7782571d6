"""Formula: a loss that is a sum over entries, as its value and its slope at one entry.

``L = sum value(x, t[, u[, v]], s) / (parts Z)``; ``dL/dx = w slope(x, t[, u[, v]], s) / Z``, and where t takes a
gradient too ``dL/dt = -dL/dx``. x and t are the inputs, u and v weights of the entries that may be absent and then are
1, s numbers that follow from the loss's options. Z is N, the first dimension, or with `counts` what LossParameter says.

Kernels are made of it by `refimpl.fast.cpu.pointwise` and `refimpl.fast.cuda.pointwise`. `value` and `slope` are plain
functions of what `refimpl.fast.scalar` has, generic over float32 and float64; their constants need its `like`. On a CPU
they compute in float64, whatever the inputs are; on a GPU in the inputs' own type.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Formula", "at_entry"]

Function = Callable[..., Any]


def _none() -> tuple[float, ...]:
    return ()


@dataclass(frozen=True)
class Formula:
    """The formula of the loss of the module `stem`, whose function says what its parameters are.

    `names` are those of the inputs, weights last, `outputs` those of the gradients. `settings` makes the numbers s of
    the options, and remembers them. With `counts` the options ``ignore_label`` and ``normalization`` say which
    entries cost something, by their t, and what Z is.
    """

    stem: str
    value: Function
    slope: Function
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Callable[..., tuple[float, ...]] = _none
    parts: int = 1
    counts: bool = False

    options: tuple[str, ...] = field(init=False)
    """The options that settings are made of."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(inspect.signature(self.settings).parameters))
        object.__setattr__(self, "settings", functools.lru_cache(maxsize=64)(self.settings))

    @property
    def weights(self) -> tuple[str, ...]:
        return self.names[2:]


def at_entry(function: Function, arrays: int) -> Function:
    """A function of so many numbers and the settings as one of four and the settings."""

    def of_two(x: Any, t: Any, u: Any, v: Any, s: Any) -> Any:
        return function(x, t, s)

    def of_three(x: Any, t: Any, u: Any, v: Any, s: Any) -> Any:
        return function(x, t, u, s)

    def of_four(x: Any, t: Any, u: Any, v: Any, s: Any) -> Any:
        return function(x, t, u, v, s)

    return (of_two, of_three, of_four)[arrays - 2]
