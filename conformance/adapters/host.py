"""Host: holds somebody's process by three pipes; every wait has a deadline, every read a bound, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from conformance.adapters.keeper import remove
from conformance.adapters.worker import die_with, guarded_stdout, signal_name
from conformance.contract.exit_codes import ExitCode

__all__ = ["Channel", "End", "Ended", "Host", "Late", "Overlong", "await_any", "last_lines", "line_of", "own_command"]

_CHUNK = 1 << 16
_PIPE = 1 << 20  # the most that Linux lets a pipe hold by default (/proc/sys/fs/pipe-max-size)
_STDERR_KEPT = 1 << 16
_SLICE = 0.1  # seconds between looks at a leader whose pipes a grandchild may hold open
_BLINK = 0.001  # seconds between looks at a process that is about to end
_KEEPING = 15.0  # seconds that a keeper has to kill what there is
_KEEPER = str(Path(__file__).with_name("keeper.py"))


class Late(Exception):
    """The deadline has passed."""


class Ended(Exception):
    """The process has ended, or closed the pipe that was needed."""


class Overlong(Exception):
    """A line exceeds the limit."""


@dataclass(frozen=True)
class End:
    """A process's exit status, negative for a signal and None where it had to be killed, and its standard error."""

    status: int | None
    errors: str

    @property
    def how(self) -> str:
        if self.status is None:
            return "closed its standard output and went on"
        return f"died by {signal_name(-self.status)}" if self.status < 0 else f"exited with status {self.status}"

    @property
    def said(self) -> str:
        """The last lines of standard error: what a person is shown."""
        return last_lines(self.errors)


class Host:
    """Starts a process and has a keeper (`conformance.adapters.keeper`) end it and all that it starts.

    ``scratch`` is the process's TMPDIR, a folder that the keeper makes and removes; ``limit`` is in bytes for one line;
    it works in ``folder``, or where this process does. Deadlines are points of ``time.monotonic()``. Standard error is
    read whenever anything is waited for, so that a flood of it blocks nobody; its last 64 KiB since `forget_errors` are
    kept. Where this process dies, by whatever signal, the keeper does what `end` does. Raises `OSError` where the
    folder cannot be made or the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        limit: int = 1 << 30,
        folder: str | None = None,
    ) -> None:
        self._end: End | None = None
        self.scratch = os.path.join(tempfile.gettempdir(), f"lossconf-{secrets.token_hex(8)}")
        surroundings = os.environ if environment is None else environment
        self._popen, self._watch = _kept(command, surroundings, self.scratch, folder)
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
        if self._end is not None:
            return False
        self._pump(0.0)  # its end of the pipe closes before its keeper has cleaned up
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
                if self._pump(_left(deadline)):
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
            self._listen(deadline)

    def heard(self) -> list[bytes]:
        """The whole lines that are there, without waiting. Raises `Ended` where there is none and none will come."""
        if b"\n" not in self._lines:
            self._listen()
        *whole, rest = self._lines.split(b"\n")
        self._lines[:], self._searched = rest, 0
        return [bytes(line) for line in whole]

    def end(self, grace: float = 0.0, terminate: bool = False) -> End:
        """Closes standard input, waits up to ``grace`` seconds, kills it and all it started, and removes the folder.

        ``terminate`` asks by SIGTERM, too. Ends once: after that it says what it said then.
        """
        if self._end is not None:
            return self._end
        with contextlib.suppress(OSError):
            self._in.close()
        if terminate:
            self._popen.terminate()  # none is sent to a process that has ended
        deadline = time.monotonic() + grace
        with contextlib.suppress(OSError):  # whatever the system says to what is read: it is ended
            while self._popen.poll() is None and time.monotonic() < deadline:
                self._pump(_BLINK)
                self._lines.clear()
        status = self._popen.poll()
        os.close(self._watch)  # the keeper kills what there is
        try:
            self._popen.wait(_KEEPING)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        with contextlib.suppress(OSError):
            self._drain_errors()
        self._selector.close()
        for stream in (self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()
        remove(self.scratch)  # where the keeper was killed itself
        self._end = End(status, self.errors)
        return self._end

    def _listen(self, deadline: float | None = None) -> None:
        """Reads more of standard output; waits a slice of time for it at most, not at all without a deadline."""
        if self._out.closed:
            raise Ended
        gone = self._popen.poll() is not None  # looked at first: what it wrote before it went is still in the pipe
        before = len(self._lines)
        self._pump(0.0 if gone or deadline is None else _left(deadline))
        if (gone or self._out.closed) and len(self._lines) == before:
            raise Ended

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


def _kept(
    command: Sequence[str], environment: Mapping[str, str], scratch: str, folder: str | None
) -> tuple[subprocess.Popen[bytes], int]:
    """The keeper of a command that runs, and the pipe that it ends with. Raises `OSError` as starting it would."""
    (watched, watch), (heard, told) = os.pipe(), os.pipe()
    keeper = [sys.executable, "-I", "-S", _KEEPER, str(watched), str(told), scratch]
    pipe = subprocess.PIPE
    try:
        popen = subprocess.Popen(
            [*keeper, *command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            env={**environment, "TMPDIR": scratch},
            cwd=folder,
            start_new_session=True,
            pass_fds=(watched, told),
        )
    except BaseException:
        os.close(watch)
        os.close(heard)
        raise
    finally:
        os.close(watched)
        os.close(told)
    try:
        with os.fdopen(heard, "rb") as start:
            failed = start.read()
    except BaseException:
        os.close(watch)  # its keeper ends what it has started
        popen.communicate()
        raise
    if failed:
        os.close(watch)
        popen.communicate()
        number, what = os.fsdecode(failed).split(" ", 1)
        raise OSError(int(number), os.strerror(int(number)), what)
    return popen, watch


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late
    return min(left, _SLICE)


def last_lines(text: str, count: int = 30) -> str:
    """The last lines of what a process wrote."""
    return "\n".join(text.splitlines()[-count:])


def await_any(hosts: Iterable[Host], seconds: float) -> None:
    """Waits until one of the processes writes something, ``seconds`` at most."""
    wait_for([s.fileno() for host in hosts for s in (host._out, host._err) if not s.closed], seconds)


def own_command(module: str, *words: str) -> list[str]:
    """The command of a process that calls ``main()`` of one of the suite's modules.

    The path is handed over, and nothing is imported from the working directory before it is set.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    return [sys.executable, "-c", program, *words]


def line_of(message: Mapping[str, Any]) -> bytes:
    """A message as it travels."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Channel:
    """In a process started by `own_command`: the way to its host. What else is printed goes to standard error.

    The process dies with its host, whatever it is at; SIGTERM interrupts it, so that it ends what it has started.
    Messages are JSON objects, one to a line.
    """

    def __init__(self) -> None:
        die_with(os.getppid())
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._out = guarded_stdout()

    @staticmethod
    def order() -> dict[str, Any]:
        """The one message that there is to read: nobody finds anything on standard input after it."""
        order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return order

    def send(self, message: Mapping[str, Any]) -> None:
        """Passes a message on at once; the process ends where nobody listens any more."""
        try:
            self._out.write(line_of(message))
            self._out.flush()
        except BrokenPipeError:
            os._exit(ExitCode.HARNESS_BROKEN)
