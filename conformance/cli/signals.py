"""Signals: what asks a command to end interrupts it, as Ctrl-C does, so that it ends what it has started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupted_by"]


@contextmanager
def interrupted_by(*numbers: signal.Signals) -> Iterator[list[signal.Signals]]:
    """While this holds, the first of these signals raises `KeyboardInterrupt`, and no other disturbs what follows from
    it; what is given is empty until then, and holds that signal after.

    A signal that is ignored stays so, as ``nohup`` has it. Nothing is done outside the main thread.
    """
    came: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        came.append(signal.Signals(number))
        raise KeyboardInterrupt

    try:
        for number in heard:
            signal.signal(number, interrupt)
        yield came
    finally:
        for number in heard:
            signal.signal(number, before[number])
