"""The judge where several answers are right: kinks, departures, overflows, quirks; and where none is but a refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.contract.case import Case
from conformance.contract.outcome import Refusal
from conformance.contract.verdict import Level
from conformance.judge.judgement import judge_outcome
from conformance.losses.nets import layer
from tests.answers import (
    CONSUMED,
    LABEL_GRADIENT,
    SOFTMAX,
    TWO_TOPS,
    X,
    Y,
    answer,
    case_of,
    changed,
    failures,
    kinds,
    only,
    with_data,
    with_diff,
)

# Two gradients: any subgradient at a kink, and where Caffe's formula is not the derivative, either of them.

KINK = case_of(layer("loss", "HingeLoss", ["x", "y"]), inputs={"x": [[1.0, 3.0, -2.0]], "y": [0.0]})


@pytest.mark.parametrize(
    ("slope", "dialect", "accepted"),
    [
        (0.0, None, True),
        (-0.5, None, True),
        (-1.0, None, True),
        (-1.001, None, False),
        (0.001, None, False),
        (0.0, "bvlc", True),
        (-0.5, "bvlc", False),
        (-1.0, "documented", True),
    ],
)
def test_at_a_kink_any_subgradient_is_right_and_no_other(slope: float, dialect: str | None, accepted: bool) -> None:
    outcome = with_diff(answer(KINK), "x", changed(0, lambda _: slope))
    assert (failures(KINK, outcome, dialect=dialect) == []) == accepted


def test_caffe_s_choice_at_a_kink_has_room_to_spare() -> None:
    (gradient,) = (f for f in judge_outcome(KINK, answer(KINK), "float64").findings if f.kind == "backward")
    assert gradient.headroom == np.inf


FLOOR = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"]), inputs={"x": [[0.0, 0.0, -200.0]], "y": [2.0]})


@pytest.mark.parametrize(
    ("gradient", "accepted"),
    [([0.5, 0.5, -1.0], True), ([0.0, 0.0, 0.0], True), ([0.25, 0.25, -0.5], False), ([-0.5, -0.5, 1.0], False)],
)
def test_below_the_log_floor_caffe_s_formula_and_the_derivative_are_right(
    gradient: list[float], accepted: bool
) -> None:
    outcome = with_diff(answer(FLOOR), "x", lambda _: np.array([gradient]))
    assert (failures(FLOOR, outcome) == []) == accepted


@pytest.mark.parametrize(("loss", "accepted"), [(2.25e38, True), (np.inf, True), (1.125e38, False), (np.nan, False)])
def test_an_intermediate_result_may_overflow_or_not(loss: float, accepted: bool) -> None:
    """The sum of squares, 4.5e38, is past float32's largest number; its half is not."""
    case = case_of(
        layer("loss", "EuclideanLoss", ["x", "z"]),
        inputs={"x": [[1.5e19, 1.5e19]], "z": [[0.0, 0.0]]},
        steps=("forward",),
    )
    outcome = with_data(answer(case, "float32"), "loss", lambda a: a * 0 + np.float32(loss))
    assert (failures(case, replace(outcome, loss=float(np.float32(loss))), "float32") == []) == accepted


# Quirks: which side, or neither.


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_the_side_of_a_quirk_is_recognised(dialect: str) -> None:
    outcome = answer(CONSUMED, dialect=dialect)
    judged = judge_outcome(CONSUMED, outcome, "float64")
    assert judged.failures == []
    assert judged.side.name == dialect
    assert "split-readds-implicit-weight" in judged.side.touched


def test_a_side_that_was_not_asked_for_is_rejected() -> None:
    outcome = answer(CONSUMED, dialect="bvlc")
    assert outcome.loss == pytest.approx(4 / 3 * answer(CONSUMED).loss)
    assert kinds(CONSUMED, outcome, dialect="documented") >= {"total"}
    assert failures(CONSUMED, outcome, dialect="bvlc") == []


def test_neither_side_of_a_quirk_is_rejected() -> None:
    outcome = answer(CONSUMED)
    assert kinds(CONSUMED, replace(outcome, loss=outcome.loss * 2)) == {"total"}


def test_one_side_may_refuse_what_the_other_computes() -> None:
    assert failures(TWO_TOPS, answer(TWO_TOPS)) == []
    assert failures(TWO_TOPS, Refusal("construct", "Check failed: top.size() == num_loss_weights (2 vs. 1)")) == []


def test_a_wrong_answer_is_held_against_the_side_that_answers() -> None:
    """However many elements are wrong, "it should have been refused" is no explanation."""
    outcome = answer(TWO_TOPS)
    wrong = with_data(with_diff(outcome, "x", lambda a: a + 1), "p", lambda a: a + 1)
    assert kinds(TWO_TOPS, replace(wrong, loss=0.0)) == {"forward", "backward", "total"}


# Refusals.

MISMATCH = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"]), inputs={"x": X, "y": [0.0, 1.0, 2.0]})


@pytest.mark.parametrize(
    ("case", "stage", "found"),
    [
        (MISMATCH, "construct", {}),
        (MISMATCH, "setup", {}),
        (MISMATCH, "forward", {"refusal": Level.MUST}),
        (MISMATCH, "sometime", {"refusal": Level.MUST}),
        (LABEL_GRADIENT, "construct", {"stage": Level.SHOULD}),
        (LABEL_GRADIENT, "forward", {"stage": Level.SHOULD}),
        (LABEL_GRADIENT, "backward", {}),
    ],
)
def test_a_refusal_must_come_no_later_than_caffe_s(case: Case, stage: str, found: dict[str, Level]) -> None:
    assert {f.kind: f.level for f in failures(case, Refusal(stage, "no"))} == found


def test_accepting_what_is_refused_is_rejected() -> None:
    finding = only(MISMATCH, answer(SOFTMAX))
    assert (finding.kind, finding.level) == ("refusal", Level.MUST)
    assert "first dimension" in finding.reason


def test_a_blob_no_layer_can_run_on_is_the_answer_s_fault() -> None:
    """The reference refuses a label of 9 of 3 classes; here the label comes out of a layer, and is wrong there."""
    case = case_of(
        layer("moved", "Power", ["y"], options="power_param { shift: 0 }"),
        layer("loss", "SoftmaxWithLoss", ["x", "moved"]),
        inputs={"x": X, "y": Y},
        steps=("forward",),
    )
    found = failures(case, with_data(answer(case), "moved", lambda a: a + 7))
    assert [(f.kind, f.layer_type) for f in found] == [("forward", "Power")]
