"""Kernel: a function that a grid of GPU threads runs, and what a compiler and a launch must know of it.

A kernel is written once, generic over float32 and float64, and declared with the types of its parameters:

    @kernel("real[]", "double[]", "int64", shared=("real",) * WARPS)
    def forward(x, sums, classes): ...

Nothing is compiled before the first launch, and nothing is kept on disk: Numba's own cache would not notice an edit in
a module that the kernel calls into, and a kernel compiles in a fraction of a second. A kernel calls device functions
(`numba.extending.register_jitable`) and the scalar functions of `refimpl.fast.scalar`; both are plain Python as well,
which is what `refimpl.fast.cuda.simulator` runs.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda, types

from refimpl.fast.cuda.grid import BLOCK

__all__ = ["Kernel", "compiled", "kernel", "kernels"]


SHARED = ("normaliser", "softmax")
"""Modules with kernels that several losses launch."""


@dataclass(frozen=True)
class Kernel:
    """A kernel, not compiled.

    `name` is "module.function"; `parameters` are type names, "real" being the layer's own type and "[]" a flat
    contiguous array, `shared_cells` the types of its cells of static shared memory, `block` the threads of a block.
    """

    name: str
    function: Callable[..., None]
    parameters: tuple[str, ...]
    shared_cells: tuple[str, ...]
    block: int

    def signature(self, dtype: str) -> tuple[Any, ...]:
        """The Numba types of its arguments for a layer of float32 or float64."""
        return tuple(_type(parameter.replace("real", dtype)) for parameter in self.parameters)

    def shared(self, dtype: str) -> int:
        """Bytes of static shared memory of a block."""
        return sum(np.dtype(cell.replace("real", dtype)).itemsize for cell in self.shared_cells)


def _type(name: str) -> Any:
    scalar = getattr(types, name.removesuffix("[]"))
    return types.Array(scalar, 1, "C") if name.endswith("[]") else scalar


def kernel(*parameters: str, shared: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Kernel]:
    """Make a `Kernel` of a function; see the module."""

    def decorate(function: Callable[..., None]) -> Kernel:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        return Kernel(name, function, parameters, shared, BLOCK)

    return decorate


def kernels() -> tuple[Kernel, ...]:
    """Every kernel of this package, loss by loss: the shared ones first."""
    from refimpl.fast.cuda.losses import losses, module

    modules = (*(importlib.import_module(f"{__package__}.{name}") for name in SHARED), *map(module, losses()))
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Kernel))
    return tuple(dict.fromkeys(found))


@functools.cache
def compiled(function: Callable[..., None]) -> Any:
    """The function as Numba compiles it for a GPU, per argument types on first launch."""
    return cuda.jit(function)
