"""Supervisor: runs an order in processes of its own and survives whatever they do.

A process that dies, or hangs where Python cannot interrupt it, costs the check it was at its verdicts and nothing else:
another process goes on with the rest.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from conformance.adapters.host import Ended, Host, Late, await_any, line_of, own_command
from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Status
from conformance.engine.order import Order

__all__ = ["supervise"]

_TAIL = 4000  # characters of a dead process's standard error that are kept
_TICK = 0.2  # seconds between looks at the clock while nothing is heard
_ORDERING = 60.0  # seconds that a process may take to read its order
_GRACE = 3.0  # seconds a process has to end once it is asked to

Event = Mapping[str, Any]


def supervise(
    order: Order, workers: int, emit: Callable[[Event], object], wanted: Callable[[], bool] = lambda: True
) -> None:
    """Run the order in ``workers`` processes and pass their events to ``emit``.

    Ends at the first ``stop`` event, where ``emit`` has had enough and says so, or once it is not ``wanted`` any more.
    """
    parts = [_Part(order.part(index, workers)) for index in range(1, workers + 1)]
    try:
        for part in parts:
            part.start()
        while wanted() and (working := [part for part in parts if not part.over]):
            await_any([part.host for part in working if part.host is not None], _TICK)
            for part in working:
                for event in part.events():
                    if emit(event) or event["kind"] == "stop":
                        return
    finally:
        for part in parts:
            part.end()


class _Part:
    """One share of the order, and the process at it: the first one, or one that goes on where another died."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.host: Host | None = None
        self._done: set[str] = set()
        self._item: Event | None = None
        self._deadline = math.inf
        self._until = time.monotonic() + order.max_time
        self._hung = 0
        self._ready = self._collected = self._progressed = False
        self.over = False

    def start(self) -> None:
        """Start a process (`conformance.engine.shard`) on what is not done yet."""
        self._item, self._deadline, self._progressed = None, math.inf, False
        folder = self._order.folder if os.path.isdir(self._order.folder) else None
        self.host = Host(own_command("conformance.engine.shard"), folder=folder)
        with suppress(Ended, Late):  # it is heard of where it ends
            left = replace(self._order.without(frozenset(self._done)), hung=self._hung)
            if self._order.max_time:
                left = replace(left, max_time=max(self._until - time.monotonic(), _TICK))
            self.host.send(line_of(left.to_json()), time.monotonic() + _ORDERING)

    def end(self) -> None:
        """Stop the process, if it still runs."""
        if self.host is not None:
            self.host.end(_GRACE, terminate=True)

    def events(self) -> Iterator[Event]:
        """What the process has said, and what follows from its end, or from its taking longer than its case may."""
        assert self.host is not None
        try:
            lines = self.host.heard()
        except Ended:
            if not self.over:
                yield from self._ended(Status.CRASHED)
            return
        for line in lines:
            yield from self._passed_on(json.loads(line))
        if not lines and time.monotonic() > self._deadline:
            yield from self._ended(Status.TIMED_OUT)

    def _passed_on(self, event: Event) -> list[Event]:
        kind = event["kind"]
        if kind == "entered":
            self._deadline = time.monotonic() + event["allowed"]
            return []
        if kind == "left":
            self._deadline = math.inf
            return []
        if kind == "ready":
            self._ready = True
            return [event]
        if kind == "collected":
            first, self._collected = not self._collected, True
            return [event] if first else []
        if kind == "start":
            self._item = event
        elif kind == "end":
            self._done.add(event["item"])
            self._item, self._progressed, self._hung = None, True, 0
        elif kind == "finished":
            self.over = True
        return [event]

    def _ended(self, status: Status) -> list[Event]:
        """The process is gone before it finished: settle the check it was at, and start another one on the rest."""
        assert self.host is not None
        hung = status is Status.TIMED_OUT
        end = self.host.end(0.0 if hung else _GRACE)
        how = "did not end in time and was stopped" if hung else end.how
        said = end.errors[-_TAIL:]
        if self._item is not None:
            settled = _settled(self._item, status, how, said)
            self._done.add(self._item["item"])
            self._hung = self._hung + 1 if hung else 0
            self.start()
            return settled
        if self._progressed:
            self.start()
            return []
        if self._ready:
            return [_stop(ExitCode.HARNESS_BROKEN, f"the process that runs the suite {how} between two checks", said)]
        return [_stop(ExitCode.DOES_NOT_START, f"{self._order.spec} does not start: its process {how}", said)]


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
