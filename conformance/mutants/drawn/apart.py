"""Apart: a function of a mutant in a process of its own, which the mutant may crash or never end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from conformance.mutants.mutant import Mutant

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["apart"]

T = TypeVar("T")

SECONDS = 180.0
"""That a process may take: compiling a mutant's kernels takes some of them."""


def apart(function: Callable[[Mutant], T], mutant: Mutant, if_it_dies: T) -> T:
    """What ``function`` returns, or ``if_it_dies`` where its process crashes or runs for longer than `SECONDS`."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send, args=(sender, function, mutant))
    process.start()
    sender.close()
    try:
        returned: T = receiver.recv() if receiver.poll(SECONDS) else if_it_dies
        return returned
    except EOFError:
        return if_it_dies
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, function: Callable[[Mutant], T], mutant: Mutant) -> None:
    sender.send(function(mutant))
