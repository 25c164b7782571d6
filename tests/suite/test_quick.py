"""Quick checks: that they are there, few, and chosen as is said."""

from __future__ import annotations

from conformance.mutants.choosing import Killers, chosen, killed, kind_of
from conformance.suite import whole_suite
from conformance.suite.quick import is_quick, kinds


def test_every_kind_is_in_the_suite_and_they_are_few() -> None:
    suite = [check.id for check in whole_suite()]
    quick = set(filter(is_quick, suite))
    assert {kind for kind in kinds() if not any(kind in (check, kind_of(check)) for check in quick)} == set()
    assert len(quick) <= len(suite) / 10


def test_a_kind_is_an_id_without_its_loss() -> None:
    assert kind_of("space/hinge_loss/small") == "space/*/small"
    assert kind_of("net/automatic-top") == "net/automatic-top"


def test_what_kills_most_for_its_time_is_chosen_and_what_adds_nothing_is_left_out_again() -> None:
    killers = {"a": "xz", "b": "xy", "c": "y", "d": "yz", "e": ""}
    found = [Killers(mutant, frozenset(kinds)) for mutant, kinds in killers.items()]
    cost = {"x": 1.0, "y": 1.0, "z": 0.1}
    assert chosen(found, cost, 1.0) == {"y", "z"}
    assert chosen(found, cost, 0.5) == {"z"}
    assert killed(frozenset("z"), found) == 2
