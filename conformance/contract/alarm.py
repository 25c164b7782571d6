"""Alarm: stops what runs in this process and takes too long: an implementation, or reading what one answered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from conformance.contract.implementation import TimedOut

__all__ = ["alarm"]


@contextmanager
def alarm(seconds: float | None, reason: str = "") -> Iterator[None]:
    """Raise `TimedOut` inside the block once ``seconds`` have passed, for a ``reason`` of the caller's if there is one.

    Python code is interrupted, compiled code at its return; where that never comes, and on systems without SIGALRM, it
    is the supervisor that stops the process. No effect outside the main thread.
    """
    if not seconds or not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimedOut(reason or f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
