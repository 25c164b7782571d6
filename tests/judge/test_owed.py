"""What is owed: an answer that lacks an array leaves undecided what is about it, and what was not asked for does not
apply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.execution import execute
from conformance.judge.judgement import judge
from conformance.losses.nets import layer
from conformance.suite import FAMILIES, golden, whole_suite
from tests.answers import SOFTMAX, X, Y, answer, case_of, with_data

FORWARD, BACKWARD, TOTAL = "softmax_with_loss.forward", "softmax_with_loss.backward", "net.total-loss"
REACH, UNCHANGED, PARAMETER = "net.who-runs-backward", "net.inputs-unchanged", "net.parameter-gradient"

TRUNK = case_of(
    layer("h", "InnerProduct", ["x"], options="inner_product_param { num_output: 3 }"),
    layer("loss", "SoftmaxWithLoss", ["h", "y"]),
    inputs={"x": X, "y": Y},
    params={"h": (np.eye(3), np.zeros(3))},
)
SHARED = case_of(
    layer("loss", "SoftmaxWithLoss", ["x", "y"]),
    layer("other", "SoftmaxWithLoss", ["x", "y"], weights=(2.0,)),
    inputs={"x": X, "y": Y},
)


def status(case: Case, outcome: Outcome, *requirements: str) -> list[Status]:
    told = {v.requirement: v.status for v in judge("tests/check", requirements, case, outcome, "float64")}
    return [told[requirement] for requirement in requirements]


def without(outcome: Outcome, part: str, *names: str) -> Outcome:
    return replace(outcome, **{part: {n: a for n, a in getattr(outcome, part).items() if n not in names}})


def test_a_gradient_that_is_not_reported_leaves_open_what_is_about_it() -> None:
    bare = without(answer(SOFTMAX), "diff", "x")
    assert status(SOFTMAX, bare, FORWARD, BACKWARD, REACH, TOTAL) == [
        Status.PASSED,
        Status.INCONCLUSIVE,
        Status.INCONCLUSIVE,
        Status.PASSED,
    ]


def test_one_of_several_arrays_that_is_not_reported_leaves_it_open_too() -> None:
    some = replace(answer(TRUNK), param_diff={"h": answer(TRUNK).param_diff["h"][:1]})
    assert status(TRUNK, some, PARAMETER, BACKWARD) == [Status.INCONCLUSIVE, Status.PASSED]
    assert status(TRUNK, without(answer(TRUNK), "diff", "h"), PARAMETER, BACKWARD) == [
        Status.PASSED,
        Status.INCONCLUSIVE,
    ]


def test_what_is_wrong_fails_whatever_is_missing_besides() -> None:
    wrong = replace(answer(TRUNK), param_diff={"h": (answer(TRUNK).param_diff["h"][0] + 1,)})
    assert status(TRUNK, wrong, PARAMETER) == [Status.FAILED]


def test_right_numbers_under_other_names_decide_nothing() -> None:
    right = answer(SOFTMAX)
    renamed = replace(right, data={f"{n}'": a for n, a in right.data.items()}, diff={"dx": right.diff["x"]})
    assert status(SOFTMAX, renamed, BACKWARD, UNCHANGED) == [Status.INCONCLUSIVE] * 2


def test_what_nobody_asked_for_does_not_apply() -> None:
    forward = replace(SOFTMAX, steps=("forward",))
    assert status(forward, answer(forward), FORWARD, BACKWARD, PARAMETER, "layer.Sigmoid") == [
        Status.PASSED,
        *[Status.NOT_APPLICABLE] * 3,
    ]


def test_a_top_of_no_weight_is_not_told_by_the_loss() -> None:
    def bare(weight: float) -> list[Status]:
        case = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"], weights=(weight,)), inputs={"x": X, "y": Y})
        return status(case, without(answer(case), "data", "loss"), FORWARD, TOTAL)

    assert bare(2.5) == [Status.PASSED, Status.PASSED]
    assert bare(0.0) == [Status.INCONCLUSIVE, Status.PASSED]


def test_the_parts_of_an_inserted_split_are_known_by_their_sum() -> None:
    right = answer(SHARED)
    parts = [name for name in right.diff if "_split_" in name]
    bare = without(without(right, "diff", *parts), "data", *parts)
    assert len(parts) == 4
    assert status(SHARED, bare, BACKWARD, "net.split") == [Status.PASSED, Status.PASSED]
    wrong = replace(bare, diff={**bare.diff, "x": bare.diff["x"] + 1})
    assert status(SHARED, wrong, BACKWARD) == [Status.FAILED]
    assert status(SHARED, without(bare, "diff", "x"), BACKWARD, "net.split") == [Status.INCONCLUSIVE] * 2


def test_an_input_reported_otherwise_is_a_failure_by_itself() -> None:
    right = answer(SOFTMAX)
    moved = with_data(right, "x", lambda a: a + 1)
    turned = replace(right, data={**right.data, "x": right.data["x"].reshape(3, 2)})
    for outcome in (moved, turned):
        told = {v.requirement: v for v in judge("tests/check", [FORWARD], SOFTMAX, outcome, "float64")}
        assert told[FORWARD].status is Status.PASSED, "the layers above are judged on the case's inputs"
        assert (told[UNCHANGED].status, told[UNCHANGED].level) == (Status.FAILED, Level.MUST)


def test_a_learnt_input_is_the_cases_too() -> None:
    case = case_of(
        layer("x", "Parameter", options="parameter_param { shape { dim: 2 dim: 3 } }"),
        layer("loss", "SoftmaxWithLoss", ["x", "y"]),
        inputs={"y": Y},
        params={"x": (np.array(X),)},
        forced=False,
    )
    other = answer(replace(case, params={"x": (np.array(X) * 2,)}))
    assert Status.FAILED in status(case, other, FORWARD)


def undecided(verdicts: list[Verdict]) -> Iterator[Verdict]:
    return (v for v in verdicts if v.status is Status.INCONCLUSIVE and v.level is not Level.SHOULD)


def run(check: Check, dtype: str) -> list[Verdict]:
    reference = ReferenceImplementation()
    return list(execute(check, Session(reference, reference.describe(), dtype)))


FIXED = [check for check in whole_suite() if check.family not in ("golden", "gradients", "properties") and check.core]


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in FAMILIES if family in {check.family for check in FIXED}])
def test_a_perfect_answer_is_never_undecided(family: str) -> None:
    for check in (check for check in FIXED if check.family == family):
        assert not list(undecided(run(check, "float32"))), check.id


@pytest.mark.slow
def test_a_perfect_answer_to_a_golden_case_is_never_undecided() -> None:
    for check in golden.checks():
        if check.core:
            assert not list(undecided(run(check, "float32"))), check.id


def test_the_loss_speaks_for_a_weighted_top_and_never_for_its_shape() -> None:
    bare = without(answer(SOFTMAX), "data", "loss")
    assert status(SOFTMAX, bare, FORWARD, "softmax_with_loss.normalization", "softmax_with_loss.top-shape") == [
        Status.PASSED,
        Status.PASSED,
        Status.INCONCLUSIVE,
    ]
    assert status(SOFTMAX, replace(bare, loss=0.0), FORWARD) == [Status.FAILED]
