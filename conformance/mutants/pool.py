"""Pool: a function of many things in several processes, the results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_processes"]

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], things: Iterable[T], jobs: int, together: int = 1) -> Iterator[R]:
    """The results, each as soon as it and those before it are known; ``together`` things are handed over at once.

    Of what has not begun when the caller leaves off, at an interrupt say, a few things for each process still are.
    """
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(function, things, chunksize=together)
