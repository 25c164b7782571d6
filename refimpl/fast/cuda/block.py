"""Block: simulated threads that take turns, meet at barriers and in shuffles, and share memory.

Every thread is a greenlet. It runs until it has to wait for others; when all have had their turn those go on that have
met. Threads meet when they wait for the same thing at the same place in the program, all of a block at a barrier, or
the lanes that its mask names at a shuffle. Where nobody can go on they never will: an error, which tells who waits
where.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple, Protocol

import greenlet

from refimpl.fast.cuda.memory import Clock, Memory, SimulationError, Stamp

__all__ = ["WARP", "Block", "Meeting", "Thread"]

WARP = 32
MOST_THREADS = 1024
MOST_SHARED = 48 * 1024

Turns = Callable[[Sequence[Any]], Sequence[Any]]
"""Puts threads in the order in which they take turns."""


class Meeting(NamedTuple):
    """What threads wait for: an operation at a place in the program, by the lanes of `mask`, or (0) the whole block."""

    kind: str
    code: CodeType
    line: int
    mask: int

    def __str__(self) -> str:
        place = f"{self.code.co_filename.rpartition('/')[2]}:{self.line}"
        return f"waits for {self.kind} at {place}" + (f" with mask {self.mask:#x}" if self.mask else "")


class Thread:
    """One thread; as ``cuda.threadIdx`` it has an `x`. While it waits it has a `meeting`, a `value` that it brings, and
    the lane whose value it asks for, its `source`; afterwards an `answer`."""

    __slots__ = ("answer", "greenlet", "lane", "meeting", "source", "stamp", "value", "x")

    def __init__(self, block: int, number: int) -> None:
        self.x, self.lane = number, number % WARP
        self.stamp = Stamp(block, number, 0, 0)
        self.meeting: Meeting | None = None
        self.value: Any = None
        self.source = 0
        self.answer: Any = None
        self.greenlet: Any = None


class Turn(Protocol):
    """Who is told whose turn it is: a simulated ``cuda``."""

    threadIdx: Thread


class Block:
    """The threads of a block, and its shared memory. `turn` is told whose turn it is."""

    def __init__(self, kernel: str, number: int, width: int, clock: Clock, turn: Turn) -> None:
        if not 0 < width <= MOST_THREADS:
            raise SimulationError(f"{kernel}: a block of {width} threads: a GPU takes 1 to {MOST_THREADS}")
        self.kernel, self.number, self.clock, self.turn = kernel, number, clock, turn
        self.threads = [Thread(number, thread) for thread in range(width)]
        self.shared: dict[tuple[Any, int], Memory] = {}
        self.give_way = greenlet.getcurrent().switch

    def run(self, function: Callable[..., None], arguments: tuple[Any, ...], turns: Turns) -> None:
        """Every thread to its end."""
        for thread in self.threads:
            thread.greenlet = greenlet.greenlet(lambda _: function(*arguments))
            thread.greenlet.gr_context = contextvars.copy_context()
        live = self.threads
        while live:
            self._advance(turns(live))
            live = [thread for thread in live if thread.meeting is not None]
            if live and not self._release(live):
                raise SimulationError(f"{self.kernel}: block {self.number}: threads do not meet: {self._told()}")

    def _advance(self, threads: Sequence[Thread]) -> None:
        """Run every thread that need not wait until it has to or has ended."""
        clock, turn = self.clock, self.turn
        try:
            for thread in threads:
                if thread.meeting is None:
                    clock.now = thread.stamp
                    turn.threadIdx = thread
                    thread.greenlet.switch(thread.answer)
        except SimulationError as error:
            raise SimulationError(f"{self.kernel}: {clock.now} {error}") from error
        except (ArithmeticError, LookupError, NameError, TypeError, ValueError) as error:
            raise SimulationError(f"{self.kernel}: {clock.now} raises {type(error).__name__}: {error}") from error

    def _release(self, live: list[Thread]) -> bool:
        """Let those go on that have met; whether there are any. All of `live` wait."""
        meeting = live[0].meeting
        assert meeting is not None
        if not meeting.mask and len(live) == len(self.threads) and all(thread.meeting is meeting for thread in live):
            answer = BLOCK_WIDE[meeting.kind]([thread.value for thread in live])
            for thread in live:
                block, number, barriers, _ = thread.stamp
                thread.stamp = Stamp(block, number, barriers + 1, 0)
                thread.meeting, thread.answer = None, answer
            return True
        warps: dict[int, dict[int, Thread]] = {}
        for thread in live:
            warps.setdefault(thread.x // WARP, {})[thread.lane] = thread
        try:
            return any([_release_warp(lanes) for lanes in warps.values()])
        except SimulationError as error:
            raise SimulationError(f"{self.kernel}: block {self.number} {error}") from None

    def _told(self) -> str:
        """Who waits where."""
        groups: dict[str, list[int]] = {}
        for thread in self.threads:
            groups.setdefault("ended" if thread.meeting is None else str(thread.meeting), []).append(thread.x)
        return "; ".join(f"{_ranges(numbers)}: {what}" for what, numbers in groups.items())

    def allocate(self, place: tuple[Any, int], size: int, dtype: Any) -> Memory:
        """Static shared memory: one allocation for each place in the program."""
        if place not in self.shared:
            name = f"shared memory {len(self.shared)}"
            memory = Memory.fresh(size, getattr(dtype, "name", dtype), name)  # of a NumPy type or a Numba one
            memory.begin(self.clock, name)
            self.shared[place] = memory
            total = sum(memory.cells.nbytes for memory in self.shared.values())
            if total > MOST_SHARED:
                raise SimulationError(f"allocates {total} bytes of shared memory: a block has {MOST_SHARED}")
        return self.shared[place]


def _release_warp(lanes: dict[int, Thread]) -> bool:
    """Let those lanes of a warp go on that have met; whether there are any."""
    released = False
    for meeting in {thread.meeting for thread in lanes.values()}:
        if meeting is None or not meeting.mask:
            continue
        met = {lane: thread for lane, thread in lanes.items() if thread.meeting is meeting}
        if len(met) < WARP and sum(1 << lane for lane in met) != meeting.mask:
            continue
        answers = WARP_WIDE[meeting.kind](met)
        for lane, thread in met.items():
            thread.meeting, thread.answer = None, answers[lane]
            if meeting.kind == "syncwarp":
                block, number, barriers, warp_barriers = thread.stamp
                thread.stamp = Stamp(block, number, barriers, warp_barriers + 1)
        released = True
    return released


def _ranges(numbers: Sequence[int]) -> str:
    """Consecutive numbers as a-b."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "threads " + ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


Lanes = dict[int, Thread]


def _shuffled(lanes: Lanes) -> dict[int, Any]:
    """Everybody's value of another lane."""
    try:
        return {lane: lanes[thread.source].value for lane, thread in lanes.items()}
    except KeyError as error:
        raise SimulationError(f"asks for the value of lane {error}, which takes no part in the shuffle") from None


def _agreed(what: Callable[[Lanes], Any]) -> Callable[[Lanes], dict[int, Any]]:
    """The same answer for everybody."""
    return lambda lanes: dict.fromkeys(lanes, what(lanes))


BLOCK_WIDE: dict[str, Callable[[list[Any]], Any]] = {
    "syncthreads": lambda values: None,
    "syncthreads_count": lambda values: sum(map(bool, values)),
    "syncthreads_and": lambda values: int(all(values)),
    "syncthreads_or": lambda values: int(any(values)),
}
"""What threads of a block get from an operation, given the values they bring."""

WARP_WIDE: dict[str, Callable[[Lanes], dict[int, Any]]] = {
    "shuffle": _shuffled,
    "syncwarp": _agreed(lambda lanes: None),
    "all_sync": _agreed(lambda lanes: all(thread.value for thread in lanes.values())),
    "any_sync": _agreed(lambda lanes: any(thread.value for thread in lanes.values())),
    "ballot_sync": _agreed(lambda lanes: sum(1 << lane for lane, thread in lanes.items() if thread.value)),
}
"""What lanes of a warp get."""
