"""Device: where kernels run and their arrays live. A GPU, or the simulator of one.

The functions of this package run on the device that `current` names: the GPU, unless a ``with`` block chose another one
(`using`). They launch on its default stream and never wait for it, except to bring a result to the host.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from numba import config, cuda
from numpy.typing import NDArray

from refimpl.fast.cuda.kernel import Kernel, compiled

__all__ = ["Device", "Gpu", "NoDevice", "current", "gpu", "using"]


class NoDevice(RuntimeError):
    """There is no GPU to run on."""


class Device(Protocol):
    """What the functions of this package need of a device. Its arrays are flat, of one type, and know their ``size``
    and ``dtype``."""

    name: str

    def copy(self, array: NDArray[Any]) -> Any:
        """An array on the device with these entries."""

    def empty(self, size: int, dtype: Any) -> Any:
        """An array on the device that nothing was written to yet."""

    def adopt(self, given: Any) -> Any:
        """The memory behind a ``__cuda_array_interface__``, which is contiguous."""

    def fetch(self, array: Any) -> NDArray[Any]:
        """The entries of an array, once everything launched before has run."""

    def launch(self, kernel: Kernel, blocks: int, *arguments: Any) -> None:
        """Run a kernel after everything launched before; do not wait for it."""


class Gpu:
    """The current CUDA device of this process, by way of Numba."""

    def __init__(self) -> None:
        device = cuda.get_current_device()
        name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
        self.name = f"{name} (compute capability {'.'.join(map(str, device.compute_capability))})"

    def copy(self, array: NDArray[Any]) -> Any:
        return cuda.to_device(array.reshape(-1))

    def empty(self, size: int, dtype: Any) -> Any:
        return cuda.device_array(size, dtype)

    def adopt(self, given: Any) -> Any:
        """If the interface names a stream, Numba waits for what was launched there."""
        interface = given.__cuda_array_interface__
        flat = {**interface, "shape": (math.prod(interface["shape"]),), "strides": None}
        return cuda.from_cuda_array_interface(flat, owner=given)

    def fetch(self, array: Any) -> NDArray[Any]:
        host: NDArray[Any] = array.copy_to_host()
        return host

    def launch(self, kernel: Kernel, blocks: int, *arguments: Any) -> None:
        _configured(kernel, blocks)(*arguments)


@functools.lru_cache(maxsize=4096)
def _configured(kernel: Kernel, blocks: int) -> Any:
    """What launches so many blocks of a kernel. That a small problem leaves a GPU idle is no news, so Numba's warning
    of it is not passed on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Grid size")  # its class differs between Numba and numba-cuda
        return compiled(kernel.function)[blocks, kernel.block]


@functools.cache
def gpu() -> Gpu:
    """The GPU. Raises `NoDevice` where there is none that Numba can use, and says what is missing."""
    if config.ENABLE_CUDASIM:
        raise NoDevice("NUMBA_ENABLE_CUDASIM is set, which hides any GPU: unset it, or ask for the simulator")
    if not cuda.is_available():
        raise NoDevice(f"Numba finds no GPU ({_reason()})")
    return Gpu()


def _reason() -> str:
    """Why Numba cannot use CUDA, in a sentence."""
    lines = str(cuda.cuda_error() or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else "no device answers"


_chosen: ContextVar[Device | None] = ContextVar("device", default=None)


def current() -> Device:
    """The device that functions of this package run on. Raises `NoDevice` where none was chosen and there is no GPU."""
    chosen = _chosen.get()
    return gpu() if chosen is None else chosen


@contextmanager
def using(device: Device) -> Iterator[Device]:
    """Run what is inside on `device`."""
    token = _chosen.set(device)
    try:
        yield device
    finally:
        _chosen.reset(token)
