"""Simulated memory: an array that knows its bounds, what was never written, and which threads race for a cell.

New memory holds 0xFF in every byte, a NaN in either floating type; but to read a cell that nothing was written to is an
error by itself. Two threads race when both touch a cell, at least one writes, and nothing orders them: within a block a
barrier does, within a warp also ``syncwarp``; between the blocks of a launch nothing does.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Clock", "Memory", "SimulationError", "Stamp", "TooLarge"]


class SimulationError(RuntimeError):
    """Something that a GPU would leave undefined, with the kernel, the block and the thread."""


class TooLarge(SimulationError):
    """A problem that would take too long to simulate."""


class Stamp(NamedTuple):
    """Who, and when: the block, the thread, how many barriers its block has passed and how many its warp."""

    block: int
    thread: int
    barriers: int
    warp_barriers: int

    def __str__(self) -> str:
        return f"thread {self.thread} of block {self.block}"

    def orders(self, other: Stamp) -> bool:
        """Whether what was done then is sure to come before, or after, what is done now."""
        if self.block != other.block:
            return False
        if self.thread == other.thread or self.barriers != other.barriers:
            return True
        return self.thread // 32 == other.thread // 32 and self.warp_barriers != other.warp_barriers


class Clock:
    """Who runs now."""

    now: Stamp = Stamp(-1, -1, 0, 0)


class Memory:
    """A flat array of a simulated device, or in a block's shared memory. Threads index it; the host uses `cells`."""

    __slots__ = ("__weakref__", "_clock", "_reads", "_unwritten", "_writes", "cells", "dtype", "name", "shape", "size")

    def __init__(self, cells: NDArray[Any], name: str = "", unwritten: bool = False) -> None:
        self.cells, self.size, self.dtype, self.shape = cells, cells.size, cells.dtype, cells.shape
        self._unwritten = bytearray(b"\1" * cells.size) if unwritten else None
        self.begin(Clock(), name)

    @classmethod
    def fresh(cls, size: int, dtype: Any, name: str = "") -> Memory:
        """Poisoned memory."""
        kind = np.dtype(dtype)
        return cls(np.full(size * kind.itemsize, 0xFF, np.uint8).view(kind), name, unwritten=True)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        address = self.cells.__array_interface__["data"][0]
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (address, False), "version": 3}

    def begin(self, clock: Clock, name: str) -> None:
        """Forget who touched which cell: what was launched before has run."""
        self._clock, self.name = clock, name
        self._writes: dict[int, Stamp] = {}
        self._reads: dict[int, tuple[Stamp, Stamp | None]] = {}

    def never_written(self) -> int | None:
        """The first cell that nothing was written to, if there is one."""
        first = -1 if self._unwritten is None else self._unwritten.find(1)
        return None if first < 0 else first

    def give_away(self) -> None:
        """Others may write to it from now on."""
        self._unwritten = None

    def __getitem__(self, where: Any) -> Any:
        i, now = self._index(where), self._clock.now
        if self._unwritten is not None and self._unwritten[i]:
            raise SimulationError(f"reads {self.name}[{i}], which nothing was written to")
        wrote = self._writes.get(i)
        if wrote is not None and wrote is not now and not wrote.orders(now):
            raise SimulationError(f"reads {self.name}[{i}], which {wrote} writes with no barrier between")
        reads = self._reads.get(i)
        if reads is None:
            self._reads[i] = now, None
        elif reads[0] is not now:
            same = reads[0].thread == now.thread and reads[0].block == now.block
            self._reads[i] = now, reads[1] if same else reads[0]
        return self.cells[i]

    def __setitem__(self, where: Any, value: Any) -> None:
        i, now = self._index(where), self._clock.now
        wrote, (last, other) = self._writes.get(i), self._reads.get(i, (None, None))
        for who, did in ((wrote, "writes"), (last, "reads"), (other, "reads")):
            if who is not None and who is not now and not who.orders(now):
                raise SimulationError(f"writes {self.name}[{i}], which {who} {did} with no barrier between")
        self.cells[i] = value
        self._writes[i] = now
        if self._unwritten is not None:
            self._unwritten[i] = 0

    def _index(self, where: Any) -> int:
        i = operator.index(where)
        if not 0 <= i < self.size:
            raise SimulationError(f"touches {self.name}[{i}], which has {self.size} entries")
        return i
