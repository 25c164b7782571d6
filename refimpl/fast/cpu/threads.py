"""Threads for large inputs: plain Python threads that run kernels without the GIL.

OpenMP runtimes kill a forked child, Numba's own work queue aborts when two Python threads use it, and two OpenMP
runtimes in one process (torch brings one) fight for the cores. A pool of Python threads does none of that and costs
some 20 microseconds to engage, so only inputs worth more than that use it.

The work is cut into chunks whose borders depend on its shape alone. Each chunk leaves a partial sum in its own place,
and the partial sums are added in their order: the result is the same, to the bit, for any number of threads and in
every run.
"""

from __future__ import annotations

import itertools
import os
import threading
from queue import SimpleQueue
from typing import Any

import numpy as np

from refimpl.fast.cpu.kernel import call

__all__ = ["available_threads", "spread"]

SHARE = 1 << 16
"""How many elements a further thread must have to be worth waking."""

TURNS = 2
"""How many turns at the work each thread gets, so that a slow one does not hold up the rest; a turn costs some five
microseconds."""


def available_threads() -> int:
    """``OMP_NUM_THREADS`` where it is set, otherwise the cores this process may run on."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(kernel: Any, chunks: int, elements: int, threads: int | None, *args: Any) -> tuple[float, int]:
    """Run ``kernel(first, last, sums, *args)`` over all chunks: the sum of what it left in ``sums``, and its worst
    status.

    `elements` is the size of the work; `threads` the most threads to use, by default `available_threads`.
    Raises ValueError for fewer than one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}: give at least 1")
    sums = np.empty(chunks)
    limit = available_threads() if threads is None else threads
    count = min(limit, chunks, 1 + elements // SHARE)
    if count == 1:
        status = call(kernel, 0, chunks, sums, *args)
    else:
        call(kernel, 0, 0, sums, *args)
        status = _Job(kernel, chunks, count * TURNS, (sums, *args)).run(count - 1)
    return float(np.add.accumulate(sums)[-1]), status


class _Job:
    """A kernel and its chunks, taken turn by turn by whoever has time: the caller always, pool threads if they are
    free."""

    def __init__(self, kernel: Any, chunks: int, turns: int, args: tuple[Any, ...]) -> None:
        self.kernel, self.chunks, self.args = kernel, chunks, args
        self.turns = min(turns, chunks)
        self.next = itertools.count()
        self.done: SimpleQueue[int | BaseException] = SimpleQueue()

    def run(self, helpers: int) -> int:
        """Work until all turns are taken, and wait for those that others took: the worst status. Raises what any of
        them raised."""
        _pool().engage(self, helpers)
        self.work()
        answers = [self.done.get() for _ in range(self.turns)]
        for failure in answers:
            if isinstance(failure, BaseException):
                raise failure
        return max(answer for answer in answers if isinstance(answer, int))

    def work(self) -> None:
        """Take turns until none is left."""
        while (turn := next(self.next)) < self.turns:
            first, last = self.chunks * turn // self.turns, self.chunks * (turn + 1) // self.turns
            try:
                answer = self.kernel(first, last, *self.args)
            except BaseException as error:
                answer = error
            self.done.put(answer)


class _Pool:
    """Idle threads waiting for jobs. Daemons: they do not keep the process alive."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.size = 0
        self.growing = threading.Lock()

    def engage(self, job: _Job, helpers: int) -> None:
        """Ask for `helpers` threads to join a job."""
        with self.growing:
            while self.size < helpers:
                threading.Thread(target=self._serve, name=f"refimpl.fast-{self.size}", daemon=True).start()
                self.size += 1
        for _ in range(helpers):
            self.jobs.put(job)

    def _serve(self) -> None:
        while True:
            self.jobs.get().work()


_current: list[_Pool] = [_Pool()]


def _pool() -> _Pool:
    return _current[0]


def _replace_pool() -> None:
    """A forked child has none of its parent's threads, and perhaps a lock that one of them held."""
    _current[0] = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_pool)
