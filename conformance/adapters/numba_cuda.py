"""``numba-cuda``: the built-in fast layers on a GPU, or with ``--simulate`` on a simulator, in the reference's net."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import cuda

from conformance.adapters.kernel_layers import KernelLayers
from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Crash, Declined, Description, DoesNotStart
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.version import VERSION
from refimpl.fast.cuda.device import Device, NoDevice, gpu, using
from refimpl.fast.cuda.layers import KERNELS
from refimpl.fast.cuda.memory import SimulationError, TooLarge
from refimpl.fast.cuda.simulator import MOST_ENTRIES, Simulator

__all__ = ["NumbaCudaImplementation", "SimulatedImplementation", "open_numba_cuda"]

ORDERS = {1: "forward", 2: "reverse"}
"""What stands for one thread and for two; more are as many seeds of the shuffled order."""

EXTRA = "pip install 'caffe-loss-conformance[cuda]'"


class NumbaCudaImplementation(KernelLayers):
    """`refimpl.fast.cuda` on a device. Bitwise the same for every run, whatever the order of its threads."""

    def __init__(self, device: Device, simulated: bool, timeout: float | None = None) -> None:
        self.device = device
        description = Description(
            name="numba-cuda (simulated)" if simulated else "numba-cuda",
            version=VERSION,
            language="Python, Numba",
            capability="net",
            dtypes=DEFAULT,
            devices=("simulated" if simulated else "cuda",),
            dialect="documented",
            determinism="bitwise",
            any_forms=True,
            environment={"device": device.name, **_versions(simulated)},
        )
        super().__init__(KERNELS, description, timeout)

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Raises `Declined` for what is too large to be simulated, `Crash` for what a GPU would leave undefined."""
        try:
            with using(self.device):
                return super().run(case, dtype)
        except TooLarge as error:
            raise Declined(f"simulated arrays of {MOST_ENTRIES} entries") from error
        except SimulationError as error:
            raise Crash(str(error)) from error


class SimulatedImplementation(NumbaCudaImplementation):
    """The same on a simulator, which can be told in which order threads take turns."""

    def __init__(self, device: Device, timeout: float | None = None) -> None:
        super().__init__(device, True, timeout)
        self._asked = device

    def use_threads(self, count: int | None) -> None:
        """A grid has the threads it needs; what may differ is their order. So every count stands for another one."""
        self.device = self._asked if count is None else _simulator(f"--simulate={ORDERS.get(count, count)}")


def _versions(simulated: bool) -> dict[str, Any]:
    """What computes: on the simulator Numba compiles nothing."""
    target = {} if simulated else {"cuda target": cuda.implementation}
    return {"numba": numba.__version__, "numpy": np.__version__, **target}


def open_numba_cuda(argument: str, timeout: float | None = None) -> NumbaCudaImplementation:
    """On the GPU for an empty argument; simulated for ``--simulate`` or ``--simulate=ORDER``.

    ORDER is the order in which threads take turns: forward, reverse, shuffled, or a number that draws the shuffled one.
    Raises `ValueError` for another argument, `DoesNotStart` where there is no GPU.
    """
    if argument:
        return SimulatedImplementation(_simulator(argument), timeout)
    try:
        return NumbaCudaImplementation(gpu(), False, timeout)
    except NoDevice as error:
        raise DoesNotStart(
            f"{error}; with an NVIDIA GPU and its driver: {EXTRA}; without: numba-cuda --simulate"
        ) from None


def _simulator(argument: str) -> Device:
    """The simulator that ``--simulate[=ORDER]`` asks for."""
    option, _, order = argument.partition("=")
    if option != "--simulate":
        raise ValueError(f"there is no {argument!r}")
    if order.isdecimal():
        return Simulator("shuffled", int(order))
    return Simulator(order or "forward")
