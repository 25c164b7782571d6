"""Simulator: a GPU in one thread of Python, for those who have none and for finding what a GPU would not tell.

Threads and blocks take turns forward, in reverse, or in an order drawn anew at each barrier, since no result may depend
on it. What a GPU leaves undefined is an error: a barrier or a shuffle that not all threads reach, a block too large
(`refimpl.fast.cuda.block`), an index out of bounds, a cell that two threads race for, memory read before it is written
(`refimpl.fast.cuda.memory`).

It runs the kernel's and the device functions' own Python with ``cuda`` replaced by `_Cuda`, in copies of them: Numba is
not patched, Numba's own simulator not used, and a real GPU can be used beside it.

A place in the program, where threads meet or memory is shared, is a line of a function; so a line that has two such
calls is refused.
"""

from __future__ import annotations

import ast
import functools
import inspect
import random
import sys
import textwrap
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from refimpl.fast.cuda.block import WARP, Block, Meeting, Thread
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.memory import Clock, Memory, SimulationError, TooLarge

__all__ = ["ORDERS", "SimulationError", "Simulator", "TooLarge"]

ORDERS = ("forward", "reverse", "shuffled")

MOST_ENTRIES = 1 << 18
"""Larger arrays are not simulated: at some microseconds per entry and kernel they would take minutes."""


class Simulator:
    """A `refimpl.fast.cuda.device.Device` that runs kernels thread by thread, each launch to its end.

    `order`: one of `ORDERS`, in which blocks and threads take turns; `seed` draws the shuffled one. Kernels raise
    `SimulationError`.
    """

    _memories: ClassVar[weakref.WeakSet[Memory]] = weakref.WeakSet()

    def __init__(self, order: str = "forward", seed: int = 0) -> None:
        if order not in ORDERS:
            raise ValueError(f"the order of a simulation is one of {', '.join(ORDERS)}: got {order!r}")
        self.order, self.seed = order, seed
        self.name = f"simulated, threads in {order} order" + (f" (seed {seed})" if order == "shuffled" else "")
        self._cuda = _Cuda()
        self._bound: dict[Callable[..., Any], Callable[..., Any]] = {}

    def copy(self, array: NDArray[Any]) -> Memory:
        _check_size(array.size)
        return self._known(Memory(array.reshape(-1).copy()))

    def empty(self, size: int, dtype: Any) -> Memory:
        _check_size(size)
        return self._known(Memory.fresh(size, dtype))

    def adopt(self, given: Any) -> Memory:
        """The simulated memory that a ``__cuda_array_interface__`` points into. Raises ValueError for a real GPU's."""
        if isinstance(given, Memory):
            given.give_away()
            return given
        interface = given.__cuda_array_interface__
        dtype, size = np.dtype(interface["typestr"]), int(np.prod(interface["shape"], dtype=np.int64))
        for owner in list(self._memories):
            offset = interface["data"][0] - owner.cells.__array_interface__["data"][0]
            if offset >= 0 and offset + size * dtype.itemsize <= owner.cells.nbytes:
                owner.give_away()
                cells = owner.cells.view(np.uint8)[offset : offset + size * dtype.itemsize].view(dtype)
                return self._known(Memory(cells))
        raise ValueError("the simulator cannot read the memory of a real GPU: give NumPy arrays")

    def fetch(self, array: Memory) -> NDArray[Any]:
        missing = array.never_written()
        if missing is not None:
            raise SimulationError(f"{array.name} is read by the host, but nothing was written to its entry {missing}")
        copy: NDArray[Any] = array.cells.copy()
        return copy

    def launch(self, kernel: Kernel, blocks: int, *arguments: Any) -> None:
        names = kernel.function.__code__.co_varnames
        clock = Clock()
        for name, argument in zip(names, arguments, strict=False):
            if isinstance(argument, Memory):
                argument.begin(clock, name)
        function = _bound(kernel.function, self._cuda, self._bound)
        shuffle = random.Random(self.seed)
        with np.errstate(all="ignore"):
            for number in self._turns(range(blocks), shuffle):
                block = Block(kernel.name, number, kernel.block, clock, self._cuda)
                self._cuda.begin(block, blocks)
                block.run(function, arguments, lambda live: self._turns(live, shuffle))

    def _known(self, memory: Memory) -> Memory:
        self._memories.add(memory)
        return memory

    def _turns(self, those: Sequence[Any], shuffle: random.Random) -> Sequence[Any]:
        if self.order == "shuffled":
            return shuffle.sample(those, len(those))
        return those if self.order == "forward" else those[::-1]


def _check_size(size: int) -> None:
    if size > MOST_ENTRIES:
        raise TooLarge(f"an array of {size} entries: the simulator takes at most {MOST_ENTRIES}")


def _bound(function: Any, fake: _Cuda, done: dict[Callable[..., Any], Any]) -> Any:
    """A copy of a Python function, and of those it calls, that sees the simulated ``cuda``."""
    if function not in done:
        _refuse_crowded_lines(function)
        names: dict[str, Any] = {}
        cells = tuple(CellType(_seen(cell.cell_contents, fake, done)) for cell in function.__closure__ or ())
        done[function] = made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
        made.__kwdefaults__ = function.__kwdefaults__
        names.update(function.__globals__)
        names.update({name: _seen(names[name], fake, done) for name in function.__code__.co_names if name in names})
    return done[function]


@functools.cache
def _refuse_crowded_lines(function: Any) -> None:
    """Raise `SimulationError` where two calls of a line are places: which of them a thread is at could not be told."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in _Cuda.places)
    for line, count in Counter(call.lineno for call in calls).items():
        if count > 1:
            number = line + function.__code__.co_firstlineno - 1
            raise SimulationError(
                f"line {number} of {function.__name__} has {count} barriers, shuffles or arrays: part it"
            )


def _seen(value: Any, fake: _Cuda, done: dict[Callable[..., Any], Any]) -> Any:
    """What a global name of a kernel's module means on the simulator."""
    if isinstance(value, ModuleType):
        return fake if value is cuda else value
    function = getattr(value, "py_func", value)
    return _bound(function, fake, done) if isinstance(function, FunctionType) else function


class _Cuda:
    """What a kernel sees as ``cuda``: of Numba's module, the part that kernels of this package may use."""

    warpsize = WARP
    places: ClassVar[frozenset[str]]
    """The names under which kernels ask for a barrier, a shuffle, a vote, or shared memory."""

    def __init__(self) -> None:
        self.blockIdx, self.blockDim, self.gridDim = SimpleNamespace(x=0), SimpleNamespace(x=0), SimpleNamespace(x=0)
        self.shared = SimpleNamespace(array=self._shared)
        self._meetings: dict[tuple[CodeType, int, int], Meeting] = {}
        self.threadIdx: Thread
        self._block: Block

    def __getattr__(self, name: str) -> Any:
        raise SimulationError(f"uses cuda.{name}, which is not simulated")

    def begin(self, block: Block, blocks: int) -> None:
        """The block that runs from now on."""
        self._block = block
        self.blockIdx.x, self.blockDim.x, self.gridDim.x = block.number, len(block.threads), blocks

    @property
    def laneid(self) -> int:
        return self.threadIdx.lane

    def grid(self, axes: int) -> int:
        return int(self.blockIdx.x * self.blockDim.x + self.threadIdx.x)

    def gridsize(self, axes: int) -> int:
        return int(self.gridDim.x * self.blockDim.x)

    def _shared(self, shape: int, dtype: Any) -> Memory:
        caller = sys._getframe(1)
        return self._block.allocate((caller.f_code, caller.f_lineno), shape, dtype)

    def _meet(self, kind: str, mask: int = 0, value: Any = None, source: int = 0) -> Any:
        kernel = sys._getframe(2)
        place = kernel.f_code, kernel.f_lineno, mask
        meeting = self._meetings.get(place)
        if meeting is None:
            meeting = self._meetings[place] = Meeting(kind, kernel.f_code, kernel.f_lineno, mask)
        thread = self.threadIdx
        thread.meeting, thread.value, thread.source = meeting, value, source
        return self._block.give_way()

    def syncthreads(self) -> None:
        self._meet("syncthreads")

    def syncthreads_count(self, predicate: Any) -> int:
        return int(self._meet("syncthreads_count", 0, predicate))

    def syncthreads_and(self, predicate: Any) -> int:
        return int(self._meet("syncthreads_and", 0, predicate))

    def syncthreads_or(self, predicate: Any) -> int:
        return int(self._meet("syncthreads_or", 0, predicate))

    def syncwarp(self, mask: int = 0xFFFFFFFF) -> None:
        self._meet("syncwarp", mask)

    def all_sync(self, mask: int, predicate: Any) -> bool:
        return bool(self._meet("all_sync", mask, predicate))

    def any_sync(self, mask: int, predicate: Any) -> bool:
        return bool(self._meet("any_sync", mask, predicate))

    def ballot_sync(self, mask: int, predicate: Any) -> int:
        return int(self._meet("ballot_sync", mask, predicate))

    def shfl_sync(self, mask: int, value: Any, lane: int) -> Any:
        return self._meet("shuffle", mask, value, lane % WARP)

    def shfl_xor_sync(self, mask: int, value: Any, distance: int) -> Any:
        return self._meet("shuffle", mask, value, (self.threadIdx.lane ^ distance) % WARP)

    def shfl_up_sync(self, mask: int, value: Any, distance: int) -> Any:
        lane = self.threadIdx.lane
        return self._meet("shuffle", mask, value, lane - distance if lane >= distance else lane)

    def shfl_down_sync(self, mask: int, value: Any, distance: int) -> Any:
        lane = self.threadIdx.lane
        return self._meet("shuffle", mask, value, lane + distance if lane + distance < WARP else lane)


_Cuda.places = frozenset(name for name in vars(_Cuda) if "sync" in name) | {"shared"}
