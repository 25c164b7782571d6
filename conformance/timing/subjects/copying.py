"""``copy``: moving as many bytes as the pass has to, by a plain copy; the machine's own measure of how fast memory
is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np

from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared
from conformance.timing.traffic import traffic_of

__all__ = ["Copying"]

ALONE = 1 << 19
"""Copies of at most so many bytes are made by one thread: waking another takes longer."""


class Copying:
    """Copies half of the traffic from one array to another, so that what is read and written adds up to all of it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def about(self) -> About:
        return About("copy", np.__version__, {"threads": self.threads})

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        sizes = {mode: max(traffic_of(problem, mode).total // 2, 1) for mode in modes}
        source, target = (np.ones(max(sizes.values()), np.uint8) for _ in range(2))
        return Prepared({mode: self._copy(source[:size], target[:size]) for mode, size in sizes.items()}, _no_answer)

    def _copy(self, source: Array, target: Array) -> Callable[[], object]:
        if self.threads == 1 or source.size <= ALONE:
            return partial(np.copyto, target, source)
        starts = [source.size * i // self.threads for i in range(self.threads + 1)]
        parts = [(target[a:b], source[a:b]) for a, b in pairwise(starts)]

        def copy() -> None:
            others = [self._pool.submit(np.copyto, *part) for part in parts[1:]]
            np.copyto(*parts[0])
            for other in others:
                other.result()

        return copy


def _no_answer() -> tuple[float, tuple[Array, ...]]:
    raise NotTimed("a copy computes no loss")
