"""In half types a plain evaluation conforms, an error that the types would show does not, and nothing is left open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.adapters.direct import wrapped
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.dtypes import TYPES
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status, Verdict
from conformance.judge.judgement import judge, judge_outcome
from conformance.losses import KNOWN
from conformance.suite import golden, properties
from tests.broken import run_family
from tests.half_layers import Euclidean, OneElementOff, Softmax

CHECKS = list(golden.checks())
CLAIMS = (
    "float16",
    "bfloat16",
    "bfloat16, loss float32 (computed float32)",
    "float16 (computed float32)",
    "float16 (computed float16, accumulated float32)",
)
OPEN = (Status.PASSED, Status.NOT_APPLICABLE, Status.UNSUPPORTED)


def some_of(stem: str, every: int) -> list[Any]:
    return [check for check in CHECKS if check.layer == stem and check.core][::every]


def wrong(verdicts: list[Verdict]) -> list[str]:
    return [
        f"{v.check} {v.requirement} {v.dtype}: {v.status.value} {v.reason}" for v in verdicts if v.status not in OPEN
    ]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_reference_conforms_whatever_types_it_is_asked_for(claim: str) -> None:
    checks = [check for stem in KNOWN for check in some_of(stem, 60)]
    verdicts = run_family(checks, ReferenceImplementation(), (claim,))
    assert not wrong(verdicts)
    assert {v.dtype for v in verdicts} == {claim}
    assert sum(v.status is Status.PASSED for v in verdicts) > 40


@pytest.mark.parametrize("claim", ["float16", "bfloat16"])
@pytest.mark.parametrize("layer, every", [(Euclidean, 3), (Softmax, 7)])
def test_a_plain_evaluation_in_the_stored_type_conforms(layer: Any, every: int, claim: str) -> None:
    stem = next(stem for stem, loss in KNOWN.items() if loss.type == layer.type and not loss.forms)
    verdicts = run_family(some_of(stem, every), wrapped(layer, "half"), (claim,))
    assert not [each for each in wrong(verdicts) if "log-floor" not in each]
    assert sum(v.status is Status.PASSED for v in verdicts) > 20


def euclidean_case() -> Case:
    net = """force_backward: true
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 2 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "loss" }"""
    return Case("it", net, {"a": np.array([[1.5, -2.0], [0.25, 3.0]]), "b": np.array([[1.0, 2.0], [0.5, -1.0]])})


@pytest.mark.parametrize("claim, units", [("bfloat16 (computed float32)", 1), ("float16 (computed float32)", 1)])
def test_one_element_off_by_more_than_its_last_digit_is_seen(claim: str, units: int) -> None:
    case, unit = euclidean_case(), TYPES[claim.split()[0]].unit_roundoff
    for share, seen in ((0.0, False), (2 * units * unit, True)):
        layer = type("Off", (OneElementOff,), {"share": share, "computed": np.float32})
        answer = wrapped({"EuclideanLoss": layer}, "off").run(case, claim)
        assert judge_outcome(case, answer, claim).conforms is not seen


def test_a_loss_may_be_stored_wider_than_the_scores() -> None:
    claim, case = "bfloat16, loss float32 (computed float32)", euclidean_case()
    answer = ReferenceImplementation().run(case, claim)
    assert isinstance(answer, Outcome)
    assert {str(answer.data["loss"].dtype), str(answer.diff["loss"].dtype)} == {"float32"}
    assert {str(array.dtype) for array in (answer.data["a"], answer.diff["a"])} == {"bfloat16"}
    assert judge_outcome(case, answer, claim).conforms
    rounded = {**answer.data, "loss": np.asarray(8.0625, TYPES["bfloat16"].numpy)}  # 8.078125 in truth
    narrow = replace(answer, loss=8.0625, loss_trace=None, data=rounded)
    assert not judge_outcome(case, narrow, claim).conforms
    assert judge_outcome(case, narrow, "bfloat16 (computed float32)").conforms


def test_what_no_evaluation_has_a_bound_for_is_not_owed_but_has_to_be_a_number() -> None:
    """40 squares added up in bfloat16: more than the 16 that a sum is owed for."""
    values = {"a": np.full((20, 2), 1.5), "b": np.zeros((20, 2))}
    case = replace(euclidean_case(), net=euclidean_case().net.replace("dim: 2 dim: 2", "dim: 20 dim: 2"), inputs=values)
    answer = ReferenceImplementation().run(case, "bfloat16")
    assert isinstance(answer, Outcome)
    forward, backward = "euclidean_loss.forward", "euclidean_loss.backward"
    off = replace(answer, data={**answer.data, "loss": answer.data["loss"] * 2})
    for each in (answer, off):
        found = {v.requirement: v for v in judge("it", [forward, backward], case, each, "bfloat16")}
        assert found[forward].status is Status.NOT_APPLICABLE
        assert found[forward].reason.startswith("nothing is owed here")
        assert found[backward].status is Status.PASSED
    lost = replace(answer, data={**answer.data, "loss": answer.data["loss"] * np.nan})
    assert judge("it", [forward], case, lost, "bfloat16")[0].status is Status.FAILED


def test_numbers_beyond_the_range_of_the_types_are_not_owed() -> None:
    case = replace(euclidean_case(), net=euclidean_case().net.replace('top: "loss"', 'top: "loss" loss_weight: 70000'))
    answer = ReferenceImplementation().run(case, "float16")
    (verdict,) = judge("it", ["euclidean_loss.backward"], case, answer, "float16")
    assert verdict.status is Status.NOT_APPLICABLE
    assert verdict.reason == "nothing is owed here: the loss_weight of loss is beyond the range of float16"


def test_nothing_is_owed_of_a_parameter_beyond_the_range_of_the_types() -> None:
    variant = replace(KNOWN["euclidean_loss"].plain, unforced=True)
    values = variant.values()
    values["x"][0, 0] = 70_000.0
    case = variant.case("it", values=values)
    assert case.params and not case.inputs
    answer = ReferenceImplementation().run(case, "float16")
    (verdict,) = judge("it", ["euclidean_loss.backward"], case, answer, "float16")
    assert verdict.reason == "nothing is owed here: a parameter of x is beyond the range of float16"


def test_a_count_beyond_the_range_may_have_overflowed_and_need_not() -> None:
    """A gradient of 2 w / N over 65,599 items: N is infinite in float16, and 65,600 in a wider type."""
    variant = KNOWN["hinge_loss"].sized((65599, 1))
    case = variant.case("it", weights=(1.0,), values={"x": np.full((65599, 1), 0.5), "y": np.zeros(65599)})
    answer = ReferenceImplementation().run(case, "float16")
    assert isinstance(answer, Outcome)
    gone = replace(answer, diff={**answer.diff, "x": 0 * answer.diff["x"]})
    off = replace(answer, diff={**answer.diff, "x": 2 * answer.diff["x"]})
    for each, right in ((answer, True), (gone, True), (off, False)):
        (verdict,) = judge("it", ["hinge_loss.backward"], case, each, "float16")
        assert (verdict.status is Status.PASSED) is right


def test_a_floor_that_the_type_holds_as_zero_is_owed_by_nobody() -> None:
    """Of a probability of 0 the logarithm is held at log(1e-20), which is the logarithm of 0 in float16 and not in
    bfloat16."""
    loss = KNOWN["multinomial_logistic_loss"]
    case = loss.plain.case("it", values={**loss.plain.values(), "x": np.zeros(loss.plain.shapes["x"])})
    for claim, owed in (("float16", False), ("bfloat16", True)):
        answer = ReferenceImplementation().run(case, claim)
        assert isinstance(answer, Outcome)
        gone = replace(answer, data={**answer.data, "loss": answer.data["loss"] * np.inf}, loss=np.inf, loss_trace=None)
        (verdict,) = judge("it", ["multinomial_logistic_loss.forward"], case, gone, claim)
        assert (verdict.status is Status.FAILED) is owed


@pytest.mark.parametrize("claim", ["bfloat16 (computed float32)", "float16 (computed float32)"])
def test_a_shift_that_the_type_holds_changes_nothing(claim: str) -> None:
    stem = "softmax_with_loss"
    checks = [one for one in properties.checks({stem: KNOWN[stem]}) if "shift-invariance" in one.id]
    layer = type("Wide", (Softmax,), {"computed": np.float32})
    for implementation in (ReferenceImplementation(), wrapped(layer, "half")):
        assert {v.status for v in run_family(checks, implementation, (claim,))} == {Status.PASSED}


def test_a_slope_that_jumps_within_the_rounding_of_a_difference_may_be_either() -> None:
    """WingLoss at a difference of 9.99, which bfloat16 rounds to its width, 10."""
    net = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "loss" type: "WingLoss" bottom: "x" bottom: "t" top: "loss" loss_weight: 1
        wing_loss_param { w: 10 epsilon: 2 } }"""
    case = Case("it", f"force_backward: true{net}", {"x": np.array([[10.0]]), "t": np.array([[0.01]])})
    answer = ReferenceImplementation().run(case, "bfloat16")
    assert isinstance(answer, Outcome)
    found = {}
    for slope in (10 / 12, 1.0, 0.75, 1.125):
        told = replace(answer, diff={**answer.diff, "x": np.full_like(answer.diff["x"], slope)})
        found[slope] = judge_outcome(case, told, "bfloat16").conforms
    assert found == {10 / 12: True, 1.0: True, 0.75: False, 1.125: False}
