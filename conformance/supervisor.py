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
from collections.abc import Mapping
from typing import IO, Any

from conformance.cli.exit_codes import ExitCode
from conformance.order import Order
from conformance.verdict import Status

__all__ = ["supervise"]

_TAIL = 4000  # bytes of a dead process's standard error that are kept
_TICK = 0.2  # seconds between looks at the clock while nothing is heard
_GRACE = 3.0  # seconds a process has to end once it is asked to

Event = Mapping[str, Any]
Heard = queue.Queue[tuple["_Worker", int, bytes | None]]


def supervise(order: Order, workers: int, emit: Any) -> None:
    """Run the order in ``workers`` processes and pass their events to ``emit``; ends at the first ``stop`` event."""
    heard: Heard = queue.Queue()
    crew = [_Worker(order.part(index, workers), heard) for index in range(1, workers + 1)]
    try:
        for worker in crew:
            worker.start()
        while any(not worker.over for worker in crew):
            for event in _next_events(heard, crew):
                emit(event)
                if event["kind"] == "stop":
                    return
    finally:
        for worker in crew:
            worker.end()


def _next_events(heard: Heard, crew: list[_Worker]) -> list[Event]:
    events: list[Event] = []
    try:
        worker, generation, line = heard.get(timeout=_TICK)
    except queue.Empty:
        pass
    else:
        events += worker.take(generation, line)
    for worker in crew:
        worker.look_at_clock()
    return events


class _Worker:
    """One share of the order, and the process that runs it: the first one, or one that goes on where another died."""

    def __init__(self, order: Order, heard: Heard) -> None:
        self._order, self._heard = order, heard
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._generation = 0
        self._done: set[str] = set()
        self._item: Event | None = None
        self._deadline: float | None = None
        self._hung = False
        self._ready = False
        self._finished = False
        self._progressed = False
        self.over = False

    def start(self) -> None:
        """Start a process on what is not done yet."""
        self._generation += 1
        self._item, self._deadline, self._hung, self._progressed = None, None, False, False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (held until the next process starts)
        # The path is handed over, and nothing is imported from the working directory before it is set.
        program = f"import sys; sys.path[:] = {sys.path!r}; from conformance.shard import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout
        with self._process.stdin as stdin:
            stdin.write(json.dumps(self._order.without(frozenset(self._done)).to_json()).encode())
        threading.Thread(
            target=_listen, args=(self, self._generation, self._process.stdout, self._heard), daemon=True
        ).start()

    def take(self, generation: int, line: bytes | None) -> list[Event]:
        """The events that follow from a line the process wrote, or from its end."""
        if generation != self._generation or self.over:
            return []
        return self._ended() if line is None else self._told(json.loads(line))

    def look_at_clock(self) -> None:
        """Kill the process where its case has taken longer than it may."""
        if self._deadline is not None and time.monotonic() > self._deadline and self._process is not None:
            self._deadline, self._hung = None, True
            self._process.kill()

    def end(self) -> None:
        """Stop the process, if it still runs."""
        self.over = True
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _told(self, event: Event) -> list[Event]:
        kind = event["kind"]
        if kind == "entered":
            self._deadline = time.monotonic() + event["allowed"]
            return []
        if kind == "left":
            self._deadline = None
            return []
        if kind in ("ready", "collected"):
            first, self._ready = not self._ready or kind == "collected", True
            return [event] if first and self._generation == 1 else []
        if kind == "start":
            self._item = event
        elif kind == "end":
            self._done.add(event["item"])
            self._item, self._progressed = None, True
        elif kind == "finished":
            self.over = True
        return [event]

    def _ended(self) -> list[Event]:
        """The process is gone before it finished: settle the check it was at, and start another one on the rest."""
        assert self._process is not None
        status = self._process.wait()
        how = "did not end in time and was stopped" if self._hung else _how(status)
        if self._item is None:
            if not self._ready:
                code, message = ExitCode.DOES_NOT_START, f"{self._order.spec} does not start: its process {how}"
            elif not self._progressed:
                code, message = ExitCode.HARNESS_BROKEN, f"the process that runs the suite {how} between two checks"
            else:
                self.start()
                return []
            return [{"kind": "stop", "exit": int(code), "message": message, "detail": self._said()}]
        item, said = self._item, self._said()
        self._done.add(item["item"])
        status_word = Status.TIMED_OUT if self._hung else Status.CRASHED
        reason = f"the process that ran it {how}"
        place = {name: item[name] for name in ("check", "family", "stem", "dtype")}
        events: list[Event] = [
            {
                "kind": "verdict",
                **place,
                "requirement": requirement,
                "status": status_word.value,
                "level": level,
                "reason": reason,
            }
            | ({"detail": {"output": said}} if said else {})
            for requirement, level in item["requirements"].items()
        ]
        self.start()
        return [*events, {"kind": "end", "item": item["item"]}]

    def _said(self) -> str:
        """The last of what the process wrote to standard error."""
        assert self._errors is not None
        size = self._errors.seek(0, 2)
        self._errors.seek(max(0, size - _TAIL))
        return self._errors.read().decode("utf-8", "replace")


def _listen(worker: _Worker, generation: int, stream: IO[bytes], heard: Heard) -> None:
    for line in stream:
        if line.endswith(b"\n"):
            heard.put((worker, generation, line))
    heard.put((worker, generation, None))


def _how(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"died by {signal.Signals(-status).name}"
    except ValueError:
        return f"died by signal {-status}"
