"""Simulator: a GPU in one thread of Python, for those who have none and for finding what a GPU would not tell.

Every CUDA thread is a greenlet, which runs until it has to wait for others. The block's scheduler goes over them
forward, in reverse, or in an order drawn anew at each barrier, since no result may depend on it. What a GPU leaves
undefined is an error: a barrier or a shuffle that not all threads reach, a cell that two threads race for, an index out
of bounds, memory read before it is written (`refimpl.fast.cuda.memory`), a block too large.

It runs the kernel's and the device functions' own Python with ``cuda`` replaced by `_Cuda`, in copies of them: Numba is
not patched, Numba's own simulator not used, and a real GPU can be used beside it.
"""

from __future__ import annotations

import contextvars
import random
import sys
import weakref
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import greenlet
import numpy as np
from numba import cuda
from numpy.typing import NDArray

from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.memory import Clock, Memory, SimulationError, Stamp, TooLarge

__all__ = ["ORDERS", "SimulationError", "Simulator", "TooLarge"]

ORDERS = ("forward", "reverse", "shuffled")

WARP = 32
MOST_THREADS = 1024
MOST_SHARED = 48 * 1024
MOST_ENTRIES = 1 << 17
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
                block = _Block(kernel.name, number, kernel.block, clock, self._cuda)
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
        names: dict[str, Any] = {}
        done[function] = made = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        made.__kwdefaults__ = function.__kwdefaults__
        names.update(function.__globals__)
        names.update({name: _seen(names[name], fake, done) for name in function.__code__.co_names if name in names})
    return done[function]


def _seen(value: Any, fake: _Cuda, done: dict[Callable[..., Any], Any]) -> Any:
    """What a global name of a kernel's module means on the simulator."""
    if isinstance(value, ModuleType):
        return fake if value is cuda else value
    function = getattr(value, "py_func", value)
    if isinstance(function, FunctionType) and any(name is cuda for name in function.__globals__.values()):
        return _bound(function, fake, done)
    return function


class _Wait(NamedTuple):
    """What a thread waits for: all of its block (mask 0), or the lanes of its warp that the mask names."""

    kind: str
    site: tuple[str, int]
    mask: int = 0
    value: Any = None
    source: int = 0

    @property
    def meeting(self) -> tuple[Any, ...]:
        return self.kind, self.site, self.mask


class _Thread:
    __slots__ = ("answer", "greenlet", "lane", "number", "stamp", "wait", "warp")

    def __init__(self, block: int, number: int) -> None:
        self.number, self.warp, self.lane = number, number // WARP, number % WARP
        self.stamp = Stamp(block, number, 0, 0)
        self.wait: _Wait | None = None
        self.answer: Any = None
        self.greenlet: Any = None


class _Block:
    """The threads of a block, and its shared memory."""

    def __init__(self, kernel: str, number: int, width: int, clock: Clock, fake: _Cuda) -> None:
        if not 0 < width <= MOST_THREADS:
            raise SimulationError(f"{kernel}: a block of {width} threads: a GPU takes 1 to {MOST_THREADS}")
        self.kernel, self.number, self.clock, self.fake = kernel, number, clock, fake
        self.threads = [_Thread(number, thread) for thread in range(width)]
        self.shared: dict[tuple[Any, int], Memory] = {}
        self.hub = greenlet.getcurrent()

    def run(
        self, function: Callable[..., None], arguments: tuple[Any, ...], turns: Callable[[Sequence[Any]], Sequence[Any]]
    ) -> None:
        """Every thread to its end, in turns."""
        for thread in self.threads:
            thread.greenlet = greenlet.greenlet(lambda _: function(*arguments), parent=self.hub)
            thread.greenlet.gr_context = contextvars.copy_context()
        live = self.threads
        while live:
            for thread in turns(live):
                if thread.wait is None:
                    self._advance(thread)
            live = [thread for thread in live if not thread.greenlet.dead]
            if live and not self._release(live):
                raise SimulationError(f"{self.kernel}: block {self.number}: {_told(self.threads)}")

    def _advance(self, thread: _Thread) -> None:
        """Run a thread until it waits or ends."""
        self.clock.now, self.fake.thread = thread.stamp, thread
        self.fake.threadIdx.x = thread.number
        try:
            thread.wait = thread.greenlet.switch(thread.answer)
        except SimulationError as error:
            raise SimulationError(f"{self.kernel}: {thread.stamp} {error}") from error
        except (ArithmeticError, LookupError, NameError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            raise SimulationError(f"{self.kernel}: {thread.stamp} raises {text}") from error

    def _release(self, live: list[_Thread]) -> bool:
        """Let those go on whose wait is over; whether there are any."""
        waits = [thread.wait for thread in live if thread.wait is not None]
        first = waits[0]
        if len(waits) == len(self.threads) and all(wait.meeting == first.meeting and not wait.mask for wait in waits):
            answer = _BLOCK_WIDE[first.kind]([wait.value for wait in waits])
            for thread in live:
                stamp = thread.stamp
                thread.stamp = Stamp(stamp.block, stamp.thread, stamp.barriers + 1, 0)
                thread.wait, thread.answer = None, answer
            return True
        warps: dict[int, dict[int, _Thread]] = {}
        for thread in live:
            if thread.wait is not None and thread.wait.mask:
                warps.setdefault(thread.warp, {})[thread.lane] = thread
        released = [_release_warp(lanes) for lanes in warps.values()]
        return any(released)

    def allocate(self, site: tuple[Any, int], size: int, dtype: Any) -> Memory:
        """Static shared memory: one allocation for each place in the program."""
        if site not in self.shared:
            kind = np.dtype(getattr(dtype, "name", dtype))  # a NumPy type or a Numba one
            self.shared[site] = Memory.fresh(size, kind, f"shared memory {len(self.shared)}")
            self.shared[site].begin(self.clock, self.shared[site].name)
            total = sum(memory.cells.nbytes for memory in self.shared.values())
            if total > MOST_SHARED:
                raise SimulationError(f"allocates {total} bytes of shared memory: a block has {MOST_SHARED}")
        return self.shared[site]


def _release_warp(lanes: dict[int, _Thread]) -> bool:
    """Let the lanes go on that meet those their mask names."""
    released = False
    for thread in list(lanes.values()):
        wait = thread.wait
        if wait is None:
            continue
        named = {lane for lane in range(WARP) if wait.mask >> lane & 1}
        met = {lane: lanes[lane] for lane in named if lane in lanes}
        waits = {lane: other.wait for lane, other in met.items() if other.wait is not None}
        if len(waits) < len(named) or any(other.meeting != wait.meeting for other in waits.values()):
            continue
        for lane, other in met.items():
            other.answer = _WARP_WIDE[wait.kind](waits, lane)
        for other in met.values():
            other.wait = None
            if wait.kind == "syncwarp":
                stamp = other.stamp
                other.stamp = Stamp(stamp.block, stamp.thread, stamp.barriers, stamp.warp_barriers + 1)
        released = True
    return released


def _told(threads: Sequence[_Thread]) -> str:
    """Who waits where, for the message of a divergence."""
    groups: dict[str, list[int]] = {}
    for thread in threads:
        wait = thread.wait
        what = "ended" if wait is None else f"waits for {wait.kind} at {wait.site[0]}:{wait.site[1]}"
        if wait is not None and wait.mask:
            what += f" with mask {wait.mask:#x}"
        groups.setdefault(what, []).append(thread.number)
    told = "; ".join(f"{_ranges(numbers)}: {what}" for what, numbers in groups.items())
    return f"threads do not meet: {told}"


def _ranges(numbers: Sequence[int]) -> str:
    """Consecutive numbers as a-b."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


Waits = dict[int, _Wait]


def _shuffled(waits: Waits, lane: int) -> Any:
    source = waits[lane].source
    if source not in waits:
        raise SimulationError(f"lane {lane} asks lane {source} for a value, which takes no part")
    return waits[source].value


_BLOCK_WIDE: dict[str, Callable[[list[Any]], Any]] = {
    "syncthreads": lambda values: None,
    "syncthreads_count": lambda values: sum(map(bool, values)),
    "syncthreads_and": lambda values: int(all(values)),
    "syncthreads_or": lambda values: int(any(values)),
}
_WARP_WIDE: dict[str, Callable[[Waits, int], Any]] = {
    "syncwarp": lambda waits, lane: None,
    "shuffle": _shuffled,
    "all_sync": lambda waits, lane: all(wait.value for wait in waits.values()),
    "any_sync": lambda waits, lane: any(wait.value for wait in waits.values()),
    "ballot_sync": lambda waits, lane: sum(1 << other for other, wait in waits.items() if wait.value),
}


class _Cuda:
    """What a kernel sees as ``cuda``: of Numba's module, the part that kernels of this package may use."""

    warpsize = WARP

    def __init__(self) -> None:
        self.threadIdx, self.blockIdx = SimpleNamespace(x=0), SimpleNamespace(x=0)
        self.blockDim, self.gridDim = SimpleNamespace(x=0), SimpleNamespace(x=0)
        self.shared = SimpleNamespace(array=self._shared)
        self.thread: _Thread
        self._block: _Block

    def __getattr__(self, name: str) -> Any:
        raise SimulationError(f"uses cuda.{name}, which is not simulated")

    def begin(self, block: _Block, blocks: int) -> None:
        self._block = block
        self.blockIdx.x, self.blockDim.x, self.gridDim.x = block.number, len(block.threads), blocks

    @property
    def laneid(self) -> int:
        return self.thread.lane

    def grid(self, axes: int) -> int:
        return int(self.blockIdx.x * self.blockDim.x + self.threadIdx.x)

    def gridsize(self, axes: int) -> int:
        return int(self.gridDim.x * self.blockDim.x)

    def _shared(self, shape: int, dtype: Any) -> Memory:
        frame = sys._getframe(1)
        return self._block.allocate((frame.f_code, frame.f_lasti), shape, dtype)

    def _meet(self, kind: str, mask: int = 0, value: Any = None, source: int = 0) -> Any:
        frame = sys._getframe(2)
        site = frame.f_code.co_filename.rpartition("/")[2], frame.f_lineno
        return self._block.hub.switch(_Wait(kind, site, mask, value, source))

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
        return self._meet("shuffle", mask, value, (self.thread.lane ^ distance) % WARP)

    def shfl_up_sync(self, mask: int, value: Any, distance: int) -> Any:
        lane = self.thread.lane
        return self._meet("shuffle", mask, value, lane - distance if lane >= distance else lane)

    def shfl_down_sync(self, mask: int, value: Any, distance: int) -> Any:
        lane = self.thread.lane
        return self._meet("shuffle", mask, value, lane + distance if lane + distance < WARP else lane)
