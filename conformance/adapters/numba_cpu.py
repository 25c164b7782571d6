"""``numba-cpu``: the built-in fast layers, in the reference's net."""

from __future__ import annotations

import llvmlite
import numba
import numpy as np

from conformance.adapters.kernel_layers import KernelLayers
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Description, DoesNotStart
from conformance.contract.version import VERSION
from refimpl.fast.layers import KERNELS, use_threads

__all__ = ["NumbaCpuImplementation", "open_numba_cpu"]


def open_numba_cpu(argument: str, timeout: float | None = None) -> NumbaCpuImplementation:
    """The built-in fast layers. Raises `ValueError` for any argument, `DoesNotStart` where nothing is compiled."""
    if argument:
        raise ValueError(f"there is no {argument!r}")
    if numba.config.DISABLE_JIT:
        raise DoesNotStart("NUMBA_DISABLE_JIT turns Numba's compiler off, and these layers are compiled: unset it")
    return NumbaCpuImplementation(timeout)


class NumbaCpuImplementation(KernelLayers):
    """`refimpl.fast` on the CPU. Bitwise the same for every run and every number of threads."""

    def __init__(self, timeout: float | None = None) -> None:
        description = Description(
            name="numba-cpu",
            version=VERSION,
            language="Python, Numba",
            capability="net",
            dtypes=DEFAULT,
            dialect="documented",
            determinism="bitwise",
            any_types=True,
            any_forms=True,
            environment={"numba": numba.__version__, "llvmlite": llvmlite.__version__, "numpy": np.__version__},
        )
        super().__init__(KERNELS, description, timeout)

    def use_threads(self, count: int | None) -> None:
        """Let each kernel use at most ``count`` threads."""
        use_threads(count)
