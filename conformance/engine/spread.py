"""Spread: runs an order on a cluster, in shares, and survives whatever becomes of its workers.

A worker that is lost costs the time of its share, which another one runs; it is nobody's verdict.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from conformance.contract.errors import Stopped
from conformance.contract.exit_codes import ExitCode
from conformance.engine.cluster import Cluster, Lost
from conformance.engine.deal import Deal
from conformance.engine.edition import edition
from conformance.engine.order import Order
from conformance.engine.share import Done

__all__ = ["spread"]

_TICK = 0.2  # seconds between counts of the workers while nothing is heard
_AHEAD = 2  # shares for each of the workers' threads that are handed out, so that none waits for the next

_SHARE = "conformance.engine.share"

Event = Mapping[str, Any]
Names = tuple[str, ...]


def spread(order: Order, cluster: Cluster[Names], emit: Callable[[Event], object]) -> None:
    """Run the order on the cluster's workers and pass their events to ``emit``.

    Ends at the first ``stop`` event, or where ``emit`` has had enough and says so. Raises `Stopped` where the cluster
    does not do its part.
    """
    try:
        for event in _Spread(order, cluster).events():
            if emit(event) or event["kind"] == "stop":
                return
    finally:
        cluster.cancel()
        cluster.everywhere(f"{_SHARE}:leave", cluster.run)


class _Spread:
    """An order of which shares are handed out, and what is heard of them."""

    def __init__(self, order: Order, cluster: Cluster[Names]) -> None:
        self._order, self._cluster = replace(order, folder=os.getcwd(), done=frozenset()), cluster
        self._done = order.done
        self._until = time.monotonic() + order.max_time
        self._hung = 0
        self._plan: str | None = None

    def events(self) -> Iterator[Event]:
        """Those of all shares; of each item once, those of the share that ended with it."""
        deal = Deal([])
        self._hand_out(())
        while deal or self._cluster.calls:
            hands = self._cluster.hands()
            while deal and self._cluster.calls < _AHEAD * hands:
                self._hand_out(deal.next(hands))
            for names, result in self._cluster.ended(_TICK):
                if isinstance(result, Lost):
                    self._lost(deal, names, result.killed)
                    continue
                done = Done.from_json(result)
                for event in done.events:
                    if event["kind"] == "collected" and not names:
                        deal = Deal([name for name in event["items"] if name not in self._done])
                    yield from self._passed_on(event, done.host, first=not names)
                if names:
                    deal.took(done.started, done.seconds)
                    deal.back(name for name in names if name not in done.seconds)

    def _lost(self, deal: Deal, names: Names, killed: bool) -> None:
        if not names:
            self._hand_out(())
        elif killed:
            deal.lost(names)
        else:
            deal.back(names)

    def _hand_out(self, names: Names) -> None:
        """A share; without names, what finds out which there are."""
        left = max(self._until - time.monotonic(), _TICK) if self._order.max_time else 0.0
        only = frozenset(names) if names else None
        order = replace(self._order, only=only, max_time=left, hung=self._hung)
        words = json.dumps(order.to_json()), self._cluster.run, edition(), not names
        self._cluster.call(names, f"{_SHARE}:do", *words)

    def _passed_on(self, event: Event, host: str, first: bool) -> list[Event]:
        kind = event["kind"]
        if kind == "collected":
            if first:
                self._plan = event["plan"]
            elif event["plan"] != self._plan:
                told = f"the worker on {host} has other checks to run than the first one: losses or limits differ"
                raise Stopped(ExitCode.HARNESS_BROKEN, told)
            return [event] if first else []
        if kind == "finished":
            self._hung = event["hung"]
            return []
        if kind == "stop":
            needs = "files and modules that the command names have to be there under the same path"
            return [{**event, "message": f"{event['message']}; on {host} in {self._order.folder}: {needs}"}]
        return [event]
