"""Gpu: what timing on a device needs of it: its memory, its events, and a word about what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.timing.subjects import NotTimed

__all__ = ["MOST_SETS", "UNTESTED", "Gpu"]

UNTESTED = (
    "numba-cuda was written and checked without a GPU: nobody has confirmed these times, nor the predictions of "
    "docs/cuda.md; please report what you find"
)
"""What the command says whenever it times it."""

FILLS = 4
"""The arrays that calls go round in fill the second level cache so often."""

MOST_SETS = 64
"""Sets of arrays at most: a small problem is launches, wherever its arrays lie."""

ROOM = 0.4
"""The share of the free memory that one subject takes: three may be in it."""

WARM = 10
"""Calls before the clock starts: the first compiles, and the next ones wake the device."""


class Gpu:
    """The current CUDA device, by way of Numba. ``device`` is where the kernels of `refimpl.fast.cuda` run."""

    def __init__(self, device: Any, cuda: Any) -> None:
        self.device, self._cuda = device, cuda

    @classmethod
    def here(cls) -> Gpu:
        """Raises `refimpl.fast.cuda.device.NoDevice` where there is none."""
        from numba import cuda

        from refimpl.fast.cuda.device import gpu

        return cls(gpu(), cuda)

    def described(self) -> dict[str, Any]:
        """What a reader of the times has to know of the device."""
        found = self._cuda.get_current_device()
        free, total = self._memory()
        return {
            "device": self.device.name,
            "multiprocessors": int(found.MULTIPROCESSOR_COUNT),
            "l2_bytes": self.cache(),
            "memory_bytes": total,
            "free_bytes": free,
            "clock_khz": int(found.CLOCK_RATE),
            "cuda_target": str(self._cuda.implementation),
            "confirmed": False,
        }

    def cache(self) -> int:
        """Bytes of the second level cache."""
        return int(self._cuda.get_current_device().L2_CACHE_SIZE)

    def sets(self, size: int) -> int:
        """How many sets of arrays of so many bytes calls go round in. Raises `NotTimed` where not even one fits."""
        free, _ = self._memory()
        fitting = int(ROOM * free) // size
        if fitting < 1:
            raise NotTimed(f"needs {size / 2**30:.1f} GiB on the device, and {free / 2**30:.1f} GiB are free")
        return max(1, min(MOST_SETS, fitting, -(-FILLS * self.cache() // size)))

    def copy(self, array: NDArray[Any]) -> Any:
        """The same array on the device."""
        return self._cuda.to_device(np.ascontiguousarray(array))

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self._cuda.device_array(shape, np.dtype(dtype))

    def fetch(self, array: Any) -> NDArray[Any]:
        """What is in an array, once everything before has run."""
        host: NDArray[Any] = array.copy_to_host()
        return host

    def seconds(self, call: Callable[[], object], loops: int) -> float:
        """Seconds per call between two events on the device, so without what its host does before and after; with
        `WARM` calls before."""
        for _ in range(WARM):
            call()
        start, end = self._cuda.event(), self._cuda.event()
        start.record()
        for _ in range(loops):
            call()
        end.record()
        end.synchronize()
        milliseconds: float = self._cuda.event_elapsed_time(start, end)
        return milliseconds / 1e3 / loops

    def _memory(self) -> tuple[int, int]:
        """Free bytes, and all of them."""
        found = self._cuda.current_context().get_memory_info()
        return int(found[0]), int(found[1])
