"""Which checks a run is about, and how they are shared out."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.contract.check import Check
from conformance.contract.errors import UsageError
from conformance.contract.selection import Selection, share
from conformance.engine.order import Order
from conformance.suite import plan


def check(
    name: str, family: str = "golden", layer: str = "net", dtypes: tuple[str, ...] = ("float32", "float64")
) -> Check:
    return Check(name, family, layer, ("net.split",), lambda session: [], dtypes)


SUITE = [check("a"), check("b", layer="hinge_loss"), check("c", "gradients", dtypes=("float64",))]


@given(st.lists(st.integers(0, 20)), st.integers(1, 9), st.integers(1, 5))
def test_shares_are_disjoint_and_together_the_whole(items: list[int], count: int, inner: int) -> None:
    """What is of one thing, here a number, is in one share."""
    parts = [share(items, index, count, int) for index in range(1, count + 1)]
    assert sorted(chain.from_iterable(parts)) == sorted(items)
    numbers = [set(part) for part in parts]
    assert sum(map(len, numbers)) == len(set(items))
    assert max(map(len, numbers)) - min(map(len, numbers)) <= 1
    nested = [share(part, index, inner, int) for part in parts for index in range(1, inner + 1)]
    assert sorted(chain.from_iterable(nested)) == sorted(items)


@pytest.mark.parametrize(("index", "count"), [(0, 3), (4, 3), (1, 0)])
def test_a_share_that_does_not_exist_is_refused(index: int, count: int) -> None:
    with pytest.raises(UsageError):
        share([1, 2, 3], index, count, int)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), ["a[float32]", "a[float64]", "b[float32]", "b[float64]", "c[float64]"]),
        (Selection(dtypes=("float32",)), ["a[float32]", "b[float32]"]),
        (Selection(families=("gradients",)), ["c[float64]"]),
        (Selection(layers=("hinge_loss",), dtypes=("float64",)), ["b[float64]"]),
        (Selection(checks=("c", "a"), dtypes=("float64",)), ["a[float64]", "c[float64]"]),
    ],
)
def test_a_selection_keeps_the_suites_order(selection: Selection, names: list[str]) -> None:
    assert [planned.name for planned in selection.plan(SUITE, ("float32", "float64"))] == names


def test_an_implementation_runs_in_the_dtypes_it_has() -> None:
    assert [planned.name for planned in Selection().plan(SUITE, ("float32",))] == ["a[float32]", "b[float32]"]


@pytest.mark.parametrize(
    "selection",
    [Selection(("golde",)), Selection((), ("hinge",)), Selection((), (), ("d",)), Selection(dtypes=("half",))],
)
def test_a_name_that_does_not_occur_is_refused(selection: Selection) -> None:
    with pytest.raises(UsageError):
        selection.plan(SUITE, ("float32",))


def test_an_order_survives_the_way_to_another_process() -> None:
    order = Order("reference", "bvlc", 3.5, Selection(("golden",), dtypes=("float32",)), "a or b").part(1, 2).part(2, 3)
    order = order.without(frozenset({"a[float32]"}))
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_the_name_of_a_case_runs_the_check_that_holds_it() -> None:
    suite = [check("golden/x"), check("golden/x/long"), check("golden/y")]
    named = [item.name for item in Selection(checks=("golden/x/long/case", "golden/y")).plan(suite, ("float32",))]
    assert named == ["golden/x/long[float32]", "golden/y[float32]"]


def test_a_layer_takes_the_checks_of_the_net_along_that_hold_no_other_loss() -> None:
    named = {item.check.id for item in plan(Selection(layers=("hinge_loss",)), ["float32"])}
    assert "options/net/phase/hinge_loss" in named
    assert "options/net/phase/euclidean_loss" not in named
    assert "options/net/rules" not in named
