"""The judge: the reference's answers are accepted, and each way of being wrong is rejected as what it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level
from conformance.judge.judgement import judge_outcome
from conformance.losses import LOSSES, Variant, variants
from conformance.losses.nets import layer
from tests.answers import (
    SOFTMAX,
    X,
    Y,
    answer,
    case_of,
    changed,
    failures,
    first_largest,
    kinds,
    only,
    with_data,
    with_diff,
)

DTYPES = ("float32", "float64")
STEP = {"float32": 2.0**-15, "float64": 2.0**-40}
"""A relative error that a single element must not have."""
FIRST_OF_EACH = [loss.plain for loss in LOSSES.values()]
WEIGHT = 2.5


def named(variant: Variant) -> str:
    return f"{variant.loss.stem}-{variant.name}"


def case_from(variant: Variant) -> Case:
    return variant.case(f"tests/{named(variant)}", weights=(WEIGHT,))


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", list(variants()), ids=named)
def test_the_reference_is_accepted(variant: Variant, dtype: str, dialect: str) -> None:
    case = case_from(variant)
    assert failures(case, answer(case, dtype, dialect), dtype, dialect) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", FIRST_OF_EACH, ids=named)
class TestOfEveryLoss:
    """One thing wrong at a time, in the first variant of each loss layer."""

    def test_an_element_of_the_gradient_is_off(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        outcome = answer(case, dtype)
        place = first_largest(outcome.diff["x"])
        found = failures(case, with_diff(outcome, "x", changed(place, lambda v: v * (1 + STEP[dtype]))), dtype)
        assert found[0].kind == "backward"
        assert found[0].layer_type == variant.loss.type
        assert found[0].element is not None
        assert found[0].element.index == np.unravel_index(place, outcome.diff["x"].shape)
        assert not found[0].by_weight

    def test_the_top_is_off(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        outcome = with_data(answer(case, dtype), "loss", lambda a: a * (1 + STEP[dtype]))
        found = failures(case, replace(outcome, loss=float(outcome.data["loss"]) * WEIGHT), dtype)
        assert [(f.kind, f.layer_type) for f in found] == [("forward", variant.loss.type)]

    def test_the_total_is_off(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        outcome = answer(case, dtype)
        finding = only(case, replace(outcome, loss=outcome.loss * (1 + STEP[dtype])), dtype)
        assert (finding.kind, finding.layer_type, finding.level) == ("total", "net", Level.MUST)

    @pytest.mark.parametrize("factor", [1 / WEIGHT, WEIGHT], ids=["missing", "squared"])
    def test_the_weight_of_the_gradient_is_lost(self, variant: Variant, dtype: str, factor: float) -> None:
        case = case_from(variant)
        outcome = answer(case, dtype)
        for blob in variant.learned:
            outcome = with_diff(outcome, blob, lambda a: (a * factor).astype(dtype))
        found = [f for f in failures(case, outcome, dtype) if f.layer_type == variant.loss.type]
        assert found
        assert all(f.kind == "backward" and f.by_weight and not f.absent for f in found)

    def test_the_weight_of_the_total_is_lost(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        outcome = answer(case, dtype)
        assert only(case, replace(outcome, loss=float(outcome.data["loss"])), dtype).kind == "total"

    def test_the_weight_in_the_top_is_wrong(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        finding = only(case, with_diff(answer(case, dtype), "loss", lambda a: a * 0 + 1), dtype)
        assert (finding.kind, finding.layer_type) == ("weight", variant.loss.type)

    def test_the_gradient_is_missing(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        found = failures(case, with_diff(answer(case, dtype), "x", lambda a: a * 0), dtype)
        assert found[0].kind == "backward"
        assert found[0].absent
        assert not found[0].by_weight

    def test_the_gradient_is_added_to_what_was_there(self, variant: Variant, dtype: str) -> None:
        case = replace(case_from(variant), prefill_diff={"x": 7.0})
        outcome = answer(case, dtype)
        assert failures(case, outcome, dtype) == []
        assert "backward" in kinds(case, with_diff(outcome, "x", lambda a: a + 7), dtype)

    @pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
    def test_a_number_is_not_finite(self, variant: Variant, dtype: str, special: float) -> None:
        case = case_from(variant)
        spoilt = changed(0, lambda _: special)
        assert "backward" in kinds(case, with_diff(answer(case, dtype), "x", spoilt), dtype)
        assert "forward" in kinds(case, with_data(answer(case, dtype), "loss", spoilt), dtype)
        assert kinds(case, replace(answer(case, dtype), loss=special), dtype) == {"total"}

    def test_the_sign_of_zero_does_not_count(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        outcome = with_diff(answer(case, dtype), "x", lambda a: np.where(a == 0, -a, a))
        assert failures(case, outcome, dtype) == []

    def test_the_top_has_an_axis(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        finding = only(case, with_data(answer(case, dtype), "loss", lambda a: a.reshape(1)), dtype)
        assert (finding.kind, finding.level, finding.layer_type) == ("shape", Level.SHOULD, variant.loss.type)

    def test_the_gradient_has_an_entry_too_few(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        found = failures(case, with_diff(answer(case, dtype), "x", lambda a: a.reshape(-1)[1:]), dtype)
        assert (found[0].kind, found[0].level) == ("backward", Level.MUST)
        assert "shape" in found[0].reason

    def test_an_input_is_changed(self, variant: Variant, dtype: str) -> None:
        blob = variant.loss.names[1]
        case = case_from(variant)
        found = failures(case, with_data(answer(case, dtype), blob, changed(0, lambda v: v + 1)), dtype)
        assert [(f.kind, f.level) for f in found] == [("input", Level.MUST)]

    def test_it_refuses_what_runs(self, variant: Variant, dtype: str) -> None:
        case = case_from(variant)
        finding = only(case, Refusal("forward", "no"), dtype)
        assert (finding.kind, finding.level) == ("refused", Level.MUST)


def test_a_diff_nobody_asked_for_should_be_left_alone_or_zeroed() -> None:
    case = replace(SOFTMAX, prefill_diff={"y": 7.0})
    outcome = answer(case)
    assert failures(case, outcome) == []
    assert failures(case, with_diff(outcome, "y", lambda a: a * 0)) == []
    finding = only(case, with_diff(outcome, "y", lambda a: a + 1))
    assert (finding.kind, finding.level) == ("unasked", Level.SHOULD)
    assert judge_outcome(case, with_diff(outcome, "y", lambda a: a + 1), "float64").conforms


def test_the_structure_should_be_right_where_it_is_told() -> None:
    outcome = answer(SOFTMAX)
    assert failures(SOFTMAX, replace(outcome, layers=None, outputs=None)) == []
    finding = only(SOFTMAX, replace(outcome, outputs=("x",)))
    assert (finding.kind, finding.level) == ("structure", Level.SHOULD)


def test_an_element_too_small_for_the_type_may_be_flushed_to_zero() -> None:
    case = case_of(
        layer("t", "Power", ["x"], weights=(1.0,), options="power_param { power: 2 }"),
        inputs={"x": [[2.0**-70, 1.0]]},
    )
    outcome = answer(case, "float32")
    assert outcome.data["t"][0, 0] > 0
    assert failures(case, with_data(outcome, "t", changed(0, lambda _: 0.0)), "float32") == []
    assert kinds(case, with_data(outcome, "t", changed(1, lambda _: 0.0)), "float32") == {"forward", "total"}


GARBAGE = st.one_of(
    st.builds(np.full, st.sampled_from([(), (1,), (2,), (3,), (2, 3), (3, 2), (6,), (0,)]), st.floats(width=32)),
    st.builds(lambda seed: np.random.default_rng(seed).normal(size=(2, 3)) * 1e3, st.integers(0, 99)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["x", "y", "moved", "loss", "else"]), GARBAGE),
    st.dictionaries(st.sampled_from(["x", "y", "moved", "loss", "else"]), GARBAGE),
    st.floats(),
)
def test_no_answer_is_too_odd_to_be_judged(data: dict[str, Array], diff: dict[str, Array], loss: float) -> None:
    case = case_of(
        layer("moved", "Power", ["y"], options="power_param { shift: 0 }"),
        layer("loss", "SoftmaxWithLoss", ["x", "moved"]),
        inputs={"x": X, "y": Y},
        steps=("forward",),
    )
    right = answer(case)
    outcome = Outcome("float64", loss, {**right.data, **data}, {**right.diff, **diff})
    found = failures(case, outcome)
    assert found or np.array_equal(outcome.data["loss"].ravel(), right.data["loss"].ravel())


def test_a_logarithm_as_far_off_as_a_vectorised_one_is_right() -> None:
    """-log(0.76819664) of numpy's float32 loops was measured 3.8 ULP off."""
    p = np.full((1, 2), np.float32(0.76819664), np.float64)
    case = case_of(layer("loss", "MultinomialLogisticLoss", ["p", "y"]), inputs={"p": p, "y": [0.0]})
    right = answer(case, "float32")
    ulp = float(np.spacing(np.float32(right.loss)))

    def off_by(ulps: float) -> Outcome:
        loss = np.float32(right.loss + ulps * ulp)
        return replace(right, loss=float(loss), data={**right.data, "loss": np.array(loss)})

    assert not failures(case, off_by(4), "float32")
    assert failures(case, off_by(16), "float32")
