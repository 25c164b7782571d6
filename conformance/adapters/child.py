"""Child: somebody's process, held by three pipes; every wait has a deadline and every read a bound."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

__all__ = ["Child", "Ended", "Late", "Overlong"]

_CHUNK = 1 << 16
_PIPE = 1 << 20  # the most that Linux lets a pipe hold by default (/proc/sys/fs/pipe-max-size)
_STDERR_KEPT = 1 << 16
_SLICE = 0.1  # seconds between looks at a leader whose pipes a grandchild may hold open
_BLINK = 0.001  # seconds between looks at a process that is about to end


class Late(Exception):
    """The deadline has passed."""


class Ended(Exception):
    """The process has ended, or closed the pipe that was needed."""


class Overlong(Exception):
    """A line exceeds the limit."""


class Child:
    """A process at the head of a group of its own, so that all of it can be killed.

    Deadlines are points of ``time.monotonic()``. Standard error is read whenever anything is waited for, so that a
    flood of it blocks nobody; its last 64 KiB since `forget_errors` are kept. Raises `OSError` where the command cannot
    be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], limit: int) -> None:
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment, start_new_session=True
        )
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        self._in, self._out, self._err = self._popen.stdin, self._popen.stdout, self._popen.stderr
        self._limit = limit
        self._lines = bytearray()
        self._searched = 0
        self._errors = bytearray()
        self._selector = selectors.DefaultSelector()
        for stream in (self._out, self._err):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(self._in.fileno(), False)

    @property
    def alive(self) -> bool:
        """Whether the process runs and its standard output is open."""
        return self._popen.poll() is None and not self._out.closed

    @property
    def errors(self) -> str:
        """What is kept of standard error."""
        return self._errors.decode("utf-8", "replace")

    @property
    def unread(self) -> bool:
        """Whether it has written to standard output what nobody has asked for."""
        self._pump(0.0)
        return bool(self._lines)

    def forget_errors(self) -> None:
        """Starts anew with an empty standard error."""
        self._drain_errors()
        self._errors.clear()

    def send(self, line: bytes, deadline: float) -> None:
        """Writes all of ``line``; reads meanwhile. Raises `Late`, `Ended`."""
        rest = memoryview(line)
        self._selector.register(self._in, selectors.EVENT_WRITE)
        try:
            while rest:
                if self._pump(self._wait(deadline)):
                    rest = rest[os.write(self._in.fileno(), rest[:_CHUNK]) :]
        except BrokenPipeError:
            raise Ended from None
        finally:
            self._selector.unregister(self._in)

    def receive(self, deadline: float) -> bytes:
        """The next line, without its newline. Raises `Late`, `Ended`, `Overlong`."""
        while True:
            end = self._lines.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._lines[:end])
                del self._lines[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._lines)
            if self._searched > self._limit:
                raise Overlong
            if self._out.closed:
                raise Ended
            gone = self._popen.poll() is not None  # looked at first: what it wrote before it went is still in the pipe
            before = len(self._lines)
            self._pump(0.0 if gone else self._wait(deadline))
            if gone and len(self._lines) == before:
                raise Ended

    def end(self, grace: float) -> int | None:
        """Waits up to ``grace`` seconds, then kills the group.

        The process's exit status, negative for a signal; None where it had to be killed.
        """
        with contextlib.suppress(OSError):
            self._in.close()
        deadline = time.monotonic() + grace
        while self._popen.poll() is None and time.monotonic() < deadline:
            self._pump(_BLINK)
            self._lines.clear()
        status = self._popen.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._drain_errors()
        self._selector.close()
        self._out.close()
        self._err.close()
        return status

    @staticmethod
    def _wait(deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Late
        return min(left, _SLICE)

    def _pump(self, seconds: float) -> bool:
        """Reads what there is, waiting up to ``seconds`` for it; whether standard input takes bytes."""
        writable = False
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._in:
                writable = True
            elif key.fileobj is self._err:
                self._pump_errors()
            elif not (chunk := os.read(self._out.fileno(), _CHUNK)):
                self._selector.unregister(self._out)
                self._out.close()
            elif len(self._lines) <= self._limit:
                self._lines += chunk
        return writable

    def _drain_errors(self) -> None:
        """Reads what standard error holds now, no more than a pipe can: whoever goes on filling it has to wait."""
        for _ in range(_PIPE // _CHUNK):
            if not self._pump_errors():
                return

    def _pump_errors(self) -> bool:
        """Reads one chunk of standard error; whether there was one."""
        if self._err.closed:
            return False
        try:
            chunk = os.read(self._err.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._selector.unregister(self._err)
            self._err.close()
            return False
        self._errors += chunk
        del self._errors[:-_STDERR_KEPT]
        return True
