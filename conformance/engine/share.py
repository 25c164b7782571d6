"""Share: some items of an order, run on the worker of a cluster that was given them; their events are what it returns.

The items run in a process beside the worker's, which the worker supervises as a run on one machine does its own: what
the implementation does to its process is a verdict, and what happens to the worker is not.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conformance.contract.exit_codes import ExitCode
from conformance.contract.paths import system_told
from conformance.engine.edition import refuse_another
from conformance.engine.order import Order
from conformance.engine.supervisor import supervise

__all__ = ["Done", "do", "leave"]

_left: set[str] = set()
"""The runs that are over, whose shares nobody waits for any more."""


@dataclass(frozen=True)
class Done:
    """What came of a share: its events in their order, the host that it ran on, the seconds until its process knew its
    items, and those that each item took."""

    events: tuple[Mapping[str, Any], ...]
    host: str
    started: float
    seconds: Mapping[str, float]

    @classmethod
    def from_json(cls, text: str) -> Done:
        """What `do` returned."""
        return cls(**json.loads(text))


def do(order: str, run: str, wanted: str, planning: bool = False) -> str:
    """Run an order, as JSON, of the run of that name; ``planning``: only until it is known what its items are.

    Called on a worker; what comes back is `Done` as JSON. Raises `Stopped` where the suite here is not the ``wanted``
    edition.
    """
    refuse_another(wanted)
    told = _Told(planning)
    try:
        supervise(Order.from_json(json.loads(order)), 1, told, lambda: run not in _left)
    except OSError as error:
        told({"kind": "stop", "exit": int(ExitCode.HARNESS_BROKEN), "message": system_told(error), "detail": ""})
    return json.dumps(asdict(Done(tuple(told.events), platform.node(), told.started, told.seconds)))


def leave(run: str) -> None:
    """End the shares of a run that are going on here."""
    _left.add(run)


class _Told:
    """Keeps the events, and the time between them."""

    def __init__(self, planning: bool) -> None:
        self._planning = planning
        self.events: list[Mapping[str, Any]] = []
        self.started = 0.0
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> bool:
        now = time.monotonic()
        if event["kind"] == "collected":
            self.started = now - self._since
        elif event["kind"] == "start":
            self._since = now
        elif event["kind"] == "end":
            self.seconds[event["item"]] = now - self._since
        self.events.append(event)
        return self._planning and event["kind"] == "collected"
