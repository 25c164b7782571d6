"""Pool: a function of many things in several processes, the results in order; who stops asking waits for no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_processes"]

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], things: Iterable[T], jobs: int, together: int = 1) -> Iterator[R]:
    """The results, each as soon as it and those before it are known; ``together`` things are handed over at once.

    What has not begun when the caller leaves off, at an interrupt say, is never begun.
    """
    pool = ProcessPoolExecutor(jobs)
    try:
        yield from pool.map(function, things, chunksize=together)
    finally:
        pool.shutdown(cancel_futures=True)
