"""The steps in a process of their own: what an implementation does to it costs the step at hand and no other."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import IO, Any

from conformance.adapters import open_implementation
from conformance.contract.errors import Stopped, UsageError, one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.implementation import DoesNotStart
from conformance.smoke.found import Found, State
from conformance.smoke.steps import STEPS, Bench

__all__ = ["main", "smoke"]

START = "start"
_TAIL = 4000  # bytes of a dead process's standard error that are kept
_START = 125.0  # seconds that a start may take: as long as pycaffe's, and some
_END = 3.0  # seconds that it has to end once it is asked to
_GRACE = 5.0  # seconds beyond its own limit that a step has before its process is stopped


def smoke(spec: str, dialect: str | None = None, timeout: float = 60.0) -> Iterator[Found]:
    """What each step finds, as it ends. Raises `UsageError` for a spelling that makes no sense, `Stopped` where the
    implementation does not start."""
    done: list[str] = []
    while not set(STEPS).issubset(done):
        before = len(done)
        with _Process({"spec": spec, "dialect": dialect, "timeout": timeout, "done": done}) as process:
            for found in process.findings(_START, 2 * timeout + _START + _GRACE, done):
                done.append(found.step)
                yield found
        if len(done) == before:
            raise Stopped(ExitCode.HARNESS_BROKEN, f"the steps broke off after {done[-1:]}")


class _Process:
    """A process that runs the steps that are left."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        # The path is handed over, and nothing is imported from the working directory before it is set.
        program = f"import sys; sys.path[:] = {sys.path!r}; from conformance.smoke.process import main; main()"
        self._spec, self._read, self._hung = order["spec"], b"", False
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
            stdin.write(json.dumps(order).encode())

    def findings(self, start: float, allowed: float, done: list[str]) -> Iterator[Found]:
        """What the process finds, and what its end says of the step it was at."""
        step, limit = START, start
        while (line := self._line(limit)) is not None:
            event = json.loads(line)
            if event["kind"] == "enter":
                step, limit = event["step"], allowed
            elif event["kind"] == "found":
                yield Found(**{**event["found"], "state": State(event["found"]["state"])})
            elif event["kind"] == "usage":
                raise UsageError(event["message"])
            else:
                raise Stopped(event["code"], event["message"], event["detail"])
        if step == START:
            raise Stopped(
                ExitCode.DOES_NOT_START, f"{self._spec} does not start: its process {self._how()}", self._said()
            )
        if step not in done:
            remedy = "nothing in a case may end the process or keep it; the last lines it wrote are below"
            yield Found(step, State.FIX, f"the process that ran it {self._how()}", remedy, self._said())

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *error: object) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()  # so that it ends what it has started
            try:
                self._popen.wait(_END)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        self._errors.close()

    def _line(self, seconds: float) -> bytes | None:
        """The next whole line; None where the process has ended, or is stopped because it took too long."""
        assert self._popen.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._popen.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._popen.stdout.fileno(), 1 << 16) if ready else b""
            if not chunk:
                self._hung = not ready
                return None
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _how(self) -> str:
        if self._hung:
            return "did not end in time and was stopped"
        status = self._popen.wait()
        return f"died by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"

    def _said(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, 2) - _TAIL))
        return self._errors.read().decode("utf-8", "replace")


def main() -> None:
    """The order on standard input, what is found on standard output; what the implementation prints goes elsewhere."""
    order = json.loads(sys.stdin.buffer.read())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    try:
        for event in _events(order):
            _send(channel, event)
    except UsageError as error:
        _send(channel, {"kind": "usage", "message": str(error)})
    except DoesNotStart as error:
        _send(
            channel, _stopped(ExitCode.DOES_NOT_START, f"{order['spec']} does not start: {error.reason}", error.detail)
        )
    except Exception as error:
        told = f"the steps broke: {type(error).__name__}: {error}"
        _send(channel, _stopped(ExitCode.HARNESS_BROKEN, told, traceback.format_exc()))


def _events(order: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    started = time.perf_counter()
    implementation = open_implementation(order["spec"], order["dialect"], order["timeout"])
    try:
        bench = Bench(implementation, implementation.describe())
        if START not in order["done"]:
            said = f"in {time.perf_counter() - started:.2g} s"
            yield {"kind": "found", "found": asdict(Found(START, State.RIGHT, said))}
        for name, step in STEPS.items():
            if name not in order["done"]:
                yield {"kind": "enter", "step": name}
                yield {"kind": "found", "found": asdict(step(bench))}
    finally:
        implementation.close()


def _send(channel: IO[str], event: Mapping[str, Any]) -> None:
    channel.write(json.dumps(event) + "\n")
    channel.flush()


def _stopped(code: ExitCode, message: str, detail: str) -> Mapping[str, Any]:
    return {"kind": "stopped", "code": int(code), "message": one_line(message), "detail": detail}
