"""Endurance: for how long a run goes on, and how many cases in a row may hang; what is left then is not begun."""

from __future__ import annotations

import math
import time

from conformance.contract.implementation import TimedOut

__all__ = ["Endurance"]


class Endurance:
    """``seconds`` from now no case is begun any more, nor where the last ``hangs`` cases did not end in time; 0: any
    number of either. ``hung`` in a row have not ended in time so far."""

    def __init__(self, seconds: float = 0.0, hangs: int = 0, hung: int = 0) -> None:
        self._seconds, self._hangs, self.hung = seconds, hangs, hung
        self._deadline = time.monotonic() + seconds if seconds else math.inf

    def refuse(self) -> None:
        """Raises `TimedOut` where no case is begun any more."""
        if 0 < self._hangs <= self.hung:
            raise TimedOut(f"not run: {self._hangs} cases in a row had not ended in time (--max-hangs)")
        if time.monotonic() > self._deadline:
            raise TimedOut("not run: the run had taken all the time it was given (--max-time)")

    def answered(self) -> None:
        """A case has ended, however."""
        self.hung = 0

    def hanged(self) -> None:
        """A case has not."""
        self.hung += 1
