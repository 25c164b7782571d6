"""Passes: one mistake is one cause whether it shows in the first pass, in a later one, or in what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.outcome import Outcome
from conformance.diagnosis.clues import Clues, clues_of
from conformance.judge.judgement import judge_outcome
from conformance.losses import KNOWN
from conformance.record.cause import Cause
from conformance.record.grade import Grade

EUCLIDEAN = KNOWN["euclidean_loss"].sized((4, 5))
LATER = EUCLIDEAN.values(seed=9)
TWO = replace(EUCLIDEAN.case("two", weights=(3.0,)), passes=(Pass(LATER), Pass(LATER)), each_pass=True)
THREE = replace(TWO, passes=(Pass(LATER), Pass(EUCLIDEAN.values(seed=11))))
SET = replace(EUCLIDEAN.case("set"), top_diff={"loss": 2.0}, passes=(Pass(LATER, top_diff={"loss": 0.0}),))
LEFT = replace(SET, each_pass=True)
FEWER = KNOWN["euclidean_loss"].sized((3, 5)).values()
SMALLER = replace(EUCLIDEAN.case("smaller"), passes=(Pass(FEWER),))


def answered(case: Case) -> Outcome:
    answer = ReferenceImplementation().run(case, "float64")
    assert isinstance(answer, Outcome)
    return answer


def clues(case: Case, answer: Outcome, **how: object) -> Clues:
    judged = judge_outcome(case, answer, "float64")
    assert judged.failures
    return clues_of(case, answer, "float64", judged, **how)  # type: ignore[arg-type]


def in_each_state(answer: Outcome, change: Callable[[int, Outcome], Outcome]) -> Outcome:
    states = [change(index, state) for index, state in enumerate((*answer.passes[:-1], answer))]
    told = (*states[:-1], replace(states[-1], passes=())) if answer.passes else ()
    return replace(states[-1], passes=tuple(told))


def test_a_gradient_that_is_added_to_what_the_last_pass_left() -> None:
    right = answered(TWO)
    held = [state.diff["x"] for state in right.passes]
    sums = np.cumsum(held, axis=0)
    wrong = in_each_state(right, lambda i, state: replace(state, diff={**state.diff, "x": sums[i]}))
    assert clues(TWO, wrong).causes[Cause.ACCUMULATES] is Grade.EXACT


def test_a_gradient_that_is_not_written_is_that_of_the_last_pass() -> None:
    """Where nothing is owed, what was left is the sum as well."""
    for case, summed in ((THREE, False), (LEFT, True)):
        right = answered(case)
        before = right.passes[-2].diff
        state = replace(right, diff={**right.diff, "x": before["x"], "z": before["z"]})
        told = clues(case, replace(state, passes=(*right.passes[:-1], replace(state, passes=())))).causes
        assert next(iter(told)) is Cause.STALE_BUFFER
        assert told[Cause.STALE_BUFFER] is Grade.EXACT
        assert (told[Cause.ACCUMULATES] is Grade.EXACT) == summed


def test_a_batch_of_one_without_a_gradient_has_lost_its_last_item() -> None:
    case = KNOWN["euclidean_loss"].sized((1, 5)).case("one")
    right = answered(case)
    wrong = replace(right, diff={**right.diff, "x": np.zeros((1, 5)), "z": np.zeros((1, 5))})
    told = clues(case, wrong)
    assert told.causes[Cause.GRADIENT_MISSING] is Grade.EXACT
    assert told.causes[Cause.LAST_SAMPLE] is Grade.PARTLY


def test_a_loss_of_one_bottom_is_never_right_for_the_other() -> None:
    """The same bottom's gradient, right in another pass, is no other's."""
    softmax = KNOWN["softmax_with_loss"].plain
    case = replace(softmax.case("two"), passes=(Pass(softmax.values(seed=9)),), each_pass=True)
    right = answered(case)
    state = replace(right, diff={**right.diff, "x": -right.diff["x"]})
    wrong = replace(state, passes=(right.passes[0], replace(state, passes=())))
    assert Cause.ONE_BOTTOM not in clues(case, wrong).causes


def test_one_bottom_is_one_bottom_in_every_pass() -> None:
    right = answered(TWO)
    wrong = in_each_state(right, lambda i, state: replace(state, diff={**state.diff, "z": 0 * state.diff["z"]}))
    assert clues(TWO, wrong).causes[Cause.ONE_BOTTOM] is Grade.EXACT
    both = {name: np.zeros((4, 5)) for name in ("x", "z")}
    neither = in_each_state(right, lambda i, state: replace(state, diff={**state.diff, **both}))
    assert Cause.ONE_BOTTOM not in clues(TWO, neither).causes


def test_a_weight_that_later_passes_set_is_forgotten_there_too() -> None:
    plain = answered(replace(SET, top_diff={}, passes=(Pass(LATER),)))
    wrong = replace(answered(SET), diff={**answered(SET).diff, "x": plain.diff["x"], "z": plain.diff["z"]})
    assert clues(SET, wrong).causes[Cause.WEIGHT_MISSING] is Grade.EXACT


@pytest.mark.parametrize("thorough", [True, False])
def test_a_mistake_that_is_known_is_tried_where_others_are_not(thorough: bool) -> None:
    plain = answered(replace(SET, top_diff={}, passes=(Pass(LATER),)))
    wrong = replace(answered(SET), diff={**answered(SET).diff, "x": plain.diff["x"], "z": plain.diff["z"]})
    told = clues(SET, wrong, thorough=lambda: thorough, known={Cause.WEIGHT_MISSING})
    assert told.causes[Cause.WEIGHT_MISSING] is Grade.EXACT
    assert Cause.WEIGHT_MISSING not in clues(SET, wrong, thorough=lambda: False).causes


def test_the_batch_size_of_the_first_pass_is_one_from_an_earlier_pass() -> None:
    right = answered(SMALLER)
    off = {name: array * 3 / 4 for name, array in right.diff.items() if name in ("x", "z")}
    wrong = replace(right, diff={**right.diff, **off})
    assert clues(SMALLER, wrong).causes[Cause.STALE_BUFFER] is Grade.EXACT


def test_the_first_wrong_array_is_told_apart_from_what_follows() -> None:
    """A gradient of the other sign, beside one that nothing explains."""
    case = EUCLIDEAN.case("one", weights=(3.0,))
    right = answered(case)
    wrong = replace(right, diff={**right.diff, "x": -right.diff["x"], "z": np.sqrt(np.abs(right.diff["z"]))})
    found = clues(case, wrong)
    assert found.causes[Cause.SIGN] is Grade.PATTERN
    assert Cause.SIGN in found.first


def test_a_bottom_that_is_not_written_where_nothing_is_owed() -> None:
    """The other one is zero where something else was before, which nobody gets right by doing nothing."""
    case = replace(EUCLIDEAN.case("zero", weights=(0.0,)), prefill_diff={"x": 7.0, "z": 7.0})
    right = answered(case)
    wrong = replace(right, diff={**right.diff, "z": np.full((4, 5), 7.0)})
    assert clues(case, wrong).causes[Cause.ONE_BOTTOM] is Grade.EXACT


def test_a_weight_shows_in_the_gradient_of_a_layer_that_is_in_place() -> None:
    """Of a blob that two layers write, only the gradient of the first is reported."""
    net = EUCLIDEAN.case("net", weights=(3.0,)).net
    relu = 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }\nlayer { name: "loss"'
    case = replace(EUCLIDEAN.case("in-place"), net=net.replace('layer { name: "loss"', relu))
    right = answered(case)
    wrong = replace(right, diff={**right.diff, "x": right.diff["x"] / 3})
    found = clues(case, wrong)
    assert found.causes[Cause.WEIGHT_MISSING] is Grade.EXACT
    assert Cause.WEIGHT_MISSING in found.first
