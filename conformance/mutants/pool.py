"""Pool: a function of many things in several processes, or on the workers of a cluster, the results in order."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from conformance.contract.errors import Stopped
from conformance.contract.exit_codes import ExitCode
from conformance.engine.cluster import Cluster, Lost
from conformance.engine.edition import edition, refuse_another

__all__ = ["Hands", "apply", "in_processes"]

T = TypeVar("T")
R = TypeVar("R")

Hands = int | Cluster[int]
"""So many processes of this machine, or a cluster."""

_TICK = 0.2  # seconds between counts of the workers while nothing is heard
_LOSSES = 10  # times that things may take several workers with them

_alone = threading.Lock()


def in_processes(function: Callable[[T], R], things: Iterable[T], hands: Hands, together: int = 1) -> Iterator[R]:
    """The results, each as soon as it and those before it are known; ``together`` things are handed over at once.

    Of what has not begun when the caller leaves off, at an interrupt say, a few things for each process still are.
    Raises `Stopped` where a cluster does not do its part.
    """
    if isinstance(hands, Cluster):
        yield from _on(hands, function, list(things), together)
        return
    with ProcessPoolExecutor(hands) as pool:
        yield from pool.map(function, things, chunksize=together)


def apply(wanted: str, work: bytes) -> bytes:
    """On a worker of a cluster: the results of a function of some things, both pickled, and so are they.

    One thread of a worker works at a time, for the suite is not made for several. Raises `Stopped` where the suite here
    is not the ``wanted`` edition.
    """
    refuse_another(wanted)
    with _alone:
        function, things = pickle.loads(work)
        return pickle.dumps([function(thing) for thing in things])


def _on(cluster: Cluster[int], function: Callable[[T], R], things: Sequence[T], together: int) -> Iterator[R]:
    shares = [pickle.dumps((function, things[at : at + together])) for at in range(0, len(things), together)]
    known: dict[int, list[R]] = {}
    losses = Counter[int]()

    def call(number: int) -> None:
        cluster.call(number, f"{__name__}:apply", edition(), shares[number])

    def take(number: int, result: Any | Lost) -> None:
        if not isinstance(result, Lost):
            known[number] = pickle.loads(result)
            return
        losses[number] += result.killed
        if losses[number] == _LOSSES:
            told = f"every worker that was given {things[number * together]} was lost"
            raise Stopped(ExitCode.HARNESS_BROKEN, told)
        call(number)

    try:
        for number in range(len(shares)):
            call(number)
        for number in range(len(shares)):
            while number not in known:
                cluster.hands()
                for one, result in cluster.ended(_TICK):
                    take(one, result)
            yield from known.pop(number)
    finally:
        cluster.cancel()
