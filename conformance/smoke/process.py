"""The steps in a process of their own: what an implementation does to it costs the step at hand and no other."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from conformance.adapters import open_implementation
from conformance.adapters.host import Channel, Ended, Host, Late, line_of, own_command
from conformance.contract.errors import Stopped, UsageError, one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.implementation import DoesNotStart
from conformance.smoke.found import Found, State
from conformance.smoke.steps import STEPS, Bench

__all__ = ["main", "smoke"]

START = "start"
_TAIL = 4000  # characters of a dead process's standard error that are kept
_START = 125.0  # seconds that a start may take: as long as pycaffe's, and some
_END = 3.0  # seconds that it has to end once it is asked to
_GRACE = 5.0  # seconds beyond its own limit that a step has before its process is stopped


def smoke(spec: str, dialect: str | None = None, timeout: float = 60.0) -> Iterator[Found]:
    """What each step finds, as it ends. Raises `UsageError` for a spelling that makes no sense, `Stopped` where the
    implementation does not start."""
    done: list[str] = []
    while not set(STEPS).issubset(done):
        before = len(done)
        host = Host(own_command(__name__))
        try:
            order = {"spec": spec, "dialect": dialect, "timeout": timeout, "done": done}
            for found in _findings(host, order, 2 * timeout + _START + _GRACE):
                done.append(found.step)
                yield found
        finally:
            host.end(_END, terminate=True)
        if len(done) == before:
            raise Stopped(ExitCode.HARNESS_BROKEN, f"the steps broke off after {done[-1:]}")


def _findings(host: Host, order: Mapping[str, Any], allowed: float) -> Iterator[Found]:
    """What a process finds in the steps that are left, and what its end says of the step it was at."""
    step, limit = START, _START
    try:
        host.send(line_of(order), time.monotonic() + limit)
        while True:
            event = json.loads(host.receive(time.monotonic() + limit))
            if event["kind"] == "enter":
                step, limit = event["step"], allowed
            elif event["kind"] == "found":
                yield Found(**{**event["found"], "state": State(event["found"]["state"])})
            elif event["kind"] == "usage":
                raise UsageError(event["message"])
            else:
                raise Stopped(event["code"], event["message"], event["detail"])
    except Late:
        how, end = "did not end in time and was stopped", host.end()
    except Ended:
        end = host.end(_END)
        how = end.how
    said = end.errors[-_TAIL:]
    if step == START:
        raise Stopped(ExitCode.DOES_NOT_START, f"{order['spec']} does not start: its process {how}", said)
    if step not in order["done"]:
        remedy = "nothing in a case may end the process or keep it; the last lines it wrote are below"
        yield Found(step, State.FIX, f"the process that ran it {how}", remedy, said)


def main() -> None:
    """The order on standard input, what is found on standard output."""
    channel = Channel()
    order = channel.order()
    try:
        for event in _events(order):
            channel.send(event)
    except UsageError as error:
        channel.send({"kind": "usage", "message": str(error)})
    except DoesNotStart as error:
        reason = f"{order['spec']} does not start: {error.reason}"
        channel.send(_stopped(ExitCode.DOES_NOT_START, reason, error.detail))
    except Exception as error:
        reason = f"the steps broke: {type(error).__name__}: {error}"
        channel.send(_stopped(ExitCode.HARNESS_BROKEN, reason, traceback.format_exc()))


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


def _stopped(code: ExitCode, message: str, detail: str) -> Mapping[str, Any]:
    return {"kind": "stopped", "code": int(code), "message": one_line(message), "detail": detail}
