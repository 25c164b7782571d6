"""Shard: of the checks of an order, a process has its share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.contract.item import check_of
from conformance.contract.selection import Selection
from conformance.engine.order import Order
from conformance.engine.shard import run_order

CHECKS = ("euclidean_loss/grid-001", "euclidean_loss/grid-002", "hinge_loss/grid-006")


def test_a_check_is_in_one_process_in_all_its_types() -> None:
    def items(index: int) -> list[str]:
        events: list[Mapping[str, Any]] = []
        run_order(Order("reference", selection=Selection(checks=CHECKS), shares=((index, 2),)), events.append)
        (collected,) = [event for event in events if event["kind"] == "collected"]
        return list(collected["items"])

    parts = [items(1), items(2)]
    checks = [{check_of(item) for item in part} for part in parts]
    assert checks[0].isdisjoint(checks[1])
    assert checks[0] | checks[1] == set(CHECKS)
    assert [len(part) for part in parts] == [2 * len(each) for each in checks]
