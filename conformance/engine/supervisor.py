"""Supervisor: runs an order in processes of its own and survives whatever they do.

A process that dies, or hangs where Python cannot interrupt it, costs the check it was at its verdicts and nothing else:
another process goes on with the rest.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Status
from conformance.engine.order import Order

__all__ = ["supervise"]

_TAIL = 4000  # bytes of a dead process's standard error that are kept
_TICK = 0.2  # seconds between looks at the clock while nothing is heard
_GRACE = 3.0  # seconds a process has to end once it is asked to

Event = Mapping[str, Any]


def supervise(order: Order, workers: int, emit: Callable[[Event], None]) -> None:
    """Run the order in ``workers`` processes and pass their events to ``emit``; ends at the first ``stop`` event."""
    heard: queue.Queue[Callable[[], list[Event]]] = queue.Queue()
    crew = [_Worker(order.part(index, workers), heard.put) for index in range(1, workers + 1)]
    try:
        for worker in crew:
            worker.start()
        while any(not worker.over for worker in crew):
            for event in _next(heard):
                emit(event)
                if event["kind"] == "stop":
                    return
            for worker in crew:
                worker.look_at_clock()
    finally:
        for worker in crew:
            worker.end()


def _next(heard: queue.Queue[Callable[[], list[Event]]]) -> list[Event]:
    try:
        take = heard.get(timeout=_TICK)
    except queue.Empty:
        return []
    return take()


class _Worker:
    """One share of the order, and the process at it: the first one, or one that goes on where another died.

    Its process is listened to by a thread, which hands every line on to ``tell`` as a call for the main thread to make.
    """

    def __init__(self, order: Order, tell: Callable[[Callable[[], list[Event]]], None]) -> None:
        self._order, self._tell = order, tell
        self._process: _Process | None = None
        self._done: set[str] = set()
        self._item: Event | None = None
        self._deadline: float | None = None
        self._ready = self._collected = self._progressed = self._hung = False
        self.over = False

    def start(self) -> None:
        """Start a process on what is not done yet."""
        self._item, self._deadline, self._progressed, self._hung = None, None, False, False
        process = _Process(self._order.without(frozenset(self._done)))
        process.listen(lambda line: self._tell(lambda: self._take(process, line)))
        self._process = process

    def look_at_clock(self) -> None:
        """Kill the process where its case has taken longer than it may."""
        if self._deadline is not None and time.monotonic() > self._deadline and self._process is not None:
            self._deadline, self._hung = None, True
            self._process.kill()

    def end(self) -> None:
        """Stop the process, if it still runs."""
        self.over = True
        if self._process is not None:
            self._process.stop()

    def _take(self, process: _Process, line: bytes | None) -> list[Event]:
        """The events that follow from a line of the process, or from its end; what a former process said is past."""
        if self.over or process is not self._process:
            return []
        return self._told(json.loads(line)) if line is not None else self._ended(process)

    def _told(self, event: Event) -> list[Event]:
        kind = event["kind"]
        if kind == "entered":
            self._deadline = time.monotonic() + event["allowed"]
            return []
        if kind == "left":
            self._deadline = None
            return []
        if kind == "ready":
            first, self._ready = not self._ready, True
            return [event] if first else []
        if kind == "collected":
            first, self._collected = not self._collected, True
            return [event] if first else []
        if kind == "start":
            self._item = event
        elif kind == "end":
            self._done.add(event["item"])
            self._item, self._progressed = None, True
        elif kind == "finished":
            self.over = True
        return [event]

    def _ended(self, process: _Process) -> list[Event]:
        """The process is gone before it finished: settle the check it was at, and start another one on the rest."""
        how, said = process.remains()
        how = "did not end in time and was stopped" if self._hung else how
        if self._item is not None:
            settled = _settled(self._item, Status.TIMED_OUT if self._hung else Status.CRASHED, how, said)
            self._done.add(self._item["item"])
            self.start()
            return settled
        if self._progressed:
            self.start()
            return []
        if self._ready:
            return [_stop(ExitCode.HARNESS_BROKEN, f"the process that runs the suite {how} between two checks", said)]
        return [_stop(ExitCode.DOES_NOT_START, f"{self._order.spec} does not start: its process {how}", said)]


class _Process:
    """A process that runs an order (`conformance.engine.shard`), its standard error in a file."""

    def __init__(self, order: Order) -> None:
        # The path is handed over, and nothing is imported from the working directory before it is set.
        program = f"import sys; sys.path[:] = {sys.path!r}; from conformance.engine.shard import main; main()"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (held as long as the process)
        self._popen = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        with self._popen.stdin as stdin:
            stdin.write(json.dumps(order.to_json()).encode())

    def listen(self, tell: Callable[[bytes | None], None]) -> None:
        """Call ``tell`` for every whole line, then once with None, from a thread of its own."""
        assert self._popen.stdout is not None
        self._listener = threading.Thread(target=_listen, args=(self._popen.stdout, tell), daemon=True)
        self._listener.start()

    def kill(self) -> None:
        self._popen.kill()

    def stop(self) -> None:
        """Ask it to end, and kill it where it does not."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        self.remains()

    def remains(self) -> tuple[str, str]:
        """How it ended, in words, and the last of what it wrote to standard error; nothing of it is left then."""
        status = self._popen.wait()
        self._listener.join(_GRACE)  # a process of the implementation's own may hold the pipe open
        if self._errors.closed:
            return _how(status), ""
        with self._errors as errors:
            errors.seek(max(0, errors.seek(0, 2) - _TAIL))
            return _how(status), errors.read().decode("utf-8", "replace")


def _listen(stream: IO[bytes], tell: Callable[[bytes | None], None]) -> None:
    with stream:
        for line in stream:
            if line.endswith(b"\n"):
                tell(line)
    tell(None)


def _settled(item: Event, status: Status, how: str, said: str) -> list[Event]:
    """The verdicts of a check whose process is gone, one for each of its requirements, and the check's end."""
    common = {name: item[name] for name in ("check", "family", "stem", "dtype")}
    common |= {"kind": "verdict", "status": status.value, "reason": f"the process that ran it {how}"}
    common |= {"detail": {"stderr": said}} if said else {}
    common |= {"item": item["item"]}
    verdicts = [{**common, "requirement": name, "level": level} for name, level in item["requirements"].items()]
    return [{**item, "kind": "start"}, *verdicts, {"kind": "end", "item": item["item"], "cases": {}}]


def _stop(code: ExitCode, message: str, detail: str) -> Event:
    return {"kind": "stop", "exit": int(code), "message": message, "detail": detail}


def _how(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"died by {signal.Signals(-status).name}"
    except ValueError:
        return f"died by signal {-status}"
