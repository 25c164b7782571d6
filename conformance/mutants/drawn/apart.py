"""Apart: a function of a mutant in a process of its own, which the mutant may crash or keep from ending."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from conformance.mutants.mutant import Mutant

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Unsaid", "apart"]

T = TypeVar("T")

SECONDS = 600.0
"""That a process may take: most of them go into compiling a mutant's kernels."""


class Unsaid(Exception):
    """A process ended in a way that shows nothing about the mutant."""


def apart(function: Callable[[Mutant], T], mutant: Mutant, if_it_dies: T) -> T:
    """What ``function`` returns, or ``if_it_dies`` where a signal ends its process.

    Raises `Unsaid` where nothing follows of how it ended: it raised an exception of its own, or took longer than
    `SECONDS`, for it may hang, or the machine be busy.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send, args=(sender, function, mutant))
    process.start()
    sender.close()
    try:
        if not receiver.poll(SECONDS):
            raise Unsaid(f"{mutant.id} runs for longer than {SECONDS:g} s")
        returned: T = receiver.recv()
        return returned
    except EOFError:
        process.join()
        if process.exitcode is not None and process.exitcode < 0:
            return if_it_dies
        raise Unsaid(f"{mutant.id} ends with {process.exitcode}") from None
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, function: Callable[[Mutant], T], mutant: Mutant) -> None:
    sender.send(function(mutant))
