"""Shard: of the checks of an order, a process has its share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.contract.item import check_of, dtype_of
from conformance.contract.selection import Selection
from conformance.engine.order import Order
from conformance.engine.shard import run_order
from conformance.suite.quick import is_quick

CHECKS = ("euclidean_loss/grid-001", "euclidean_loss/grid-002", "hinge_loss/grid-006")


def collected(order: Order) -> tuple[list[str], list[Mapping[str, Any]]]:
    """The items of an order, and all of its events."""
    events: list[Mapping[str, Any]] = []
    run_order(order, events.append)
    return next((list(event["items"]) for event in events if event["kind"] == "collected"), []), events


def test_a_quick_run_has_each_of_its_checks_in_the_type_of_the_sharpest_bounds() -> None:
    chosen = Selection(layers=("euclidean_loss",), families=("golden", "passes"))
    items, _ = collected(Order("reference", selection=chosen, quick=True))
    assert items
    assert {dtype_of(item) for item in items} == {"float64"}
    assert all(is_quick(check_of(item)) for item in items)
    assert Order.from_json(Order("reference", quick=True).to_json()).quick


def test_a_quick_run_of_what_has_no_quick_checks_is_refused() -> None:
    *_, stop = collected(Order("reference", selection=Selection(families=("training",)), quick=True))[1]
    assert (stop["exit"], "none of the quick checks is in what was selected" in stop["message"]) == (2, True)


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
