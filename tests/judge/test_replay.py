"""The replay: every layer on what the implementation had, so that a difference stays where it was made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.judge.bounded import measure
from conformance.judge.replay import Comparison, replay
from conformance.judge.tolerance import rounding_of
from conformance.losses.nets import layer
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from tests.answers import X, Y, answer, case_of, changed, with_data, with_diff

LOSS = layer("loss", "SoftmaxWithLoss", ["s", "y"])
SIGMOID = layer("s", "Sigmoid", ["p"])
POWER = layer("p", "Power", ["x"], options="power_param { power: 2 scale: 0.5 shift: 1 }")
CHAIN = case_of(POWER, SIGMOID, LOSS, inputs={"x": X, "y": Y})


def compared(case: Case, outcome: Outcome, dialect: str = "documented", **options: Any) -> list[Comparison]:
    return replay(case, outcome, Dialect.named(dialect), rounding_of(outcome.dtype), **options)[1]


def wrong(case: Case, outcome: Outcome, **options: Any) -> list[tuple[str, str]]:
    comparisons = compared(case, outcome, **options)
    accepted = [c.got.size == c.want.size and measure(c.got, [c.want], outcome.dtype).accepted for c in comparisons]
    return [(c.aspect, c.blob) for c, right in zip(comparisons, accepted, strict=True) if not right]


def of(comparisons: list[Comparison], blob: str, aspect: str = "forward") -> Comparison:
    return next(c for c in comparisons if (c.aspect, c.blob) == (aspect, blob))


def test_everything_an_answer_holds_is_compared_once() -> None:
    told = [(c.aspect, c.blob) for c in compared(CHAIN, answer(CHAIN))]
    assert told == [
        ("input", "x"),
        ("input", "y"),
        ("forward", "p"),
        ("forward", "s"),
        ("forward", "loss"),
        ("backward", "s"),
        ("backward", "p"),
        ("backward", "x"),
        ("unasked", "y"),
        ("weight", "loss"),
        ("total", "total"),
    ]


def test_a_comparison_names_the_layer_that_answers() -> None:
    comparisons = compared(CHAIN, answer(CHAIN))
    assert (of(comparisons, "s").layer, of(comparisons, "s").layer_type) == ("s", "Sigmoid")
    assert of(comparisons, "s", "backward").layer == "loss"
    assert of(comparisons, "p", "backward").layer == "s"
    assert (of(comparisons, "total", "total").layer, of(comparisons, "total", "total").layer_type) == (None, "net")


def test_a_wrong_top_is_wrong_once_and_the_layers_above_run_on_it() -> None:
    """The answer of a net whose Power layer adds 1/8 to one entry, and that is right in all else."""
    offset = np.array([[0.0, 0.125, 0.0], [0.0, 0.0, 0.0]])
    power, add = POWER.replace('top: "p"', 'top: "plain"'), layer("p", "Eltwise", ["plain", "offset"])
    off = answer(case_of(power, add, SIGMOID, LOSS, inputs={"x": X, "offset": offset, "y": Y}))
    outcome = replace(
        off,
        data={name: off.data[name] for name in ("x", "y", "p", "s", "loss")},
        diff={name: off.diff[name] for name in ("x", "y", "p", "s", "loss")},
    )
    assert wrong(CHAIN, outcome) == [("forward", "p")]


def test_a_wrong_gradient_is_wrong_once_and_the_layers_below_run_on_it() -> None:
    outcome = answer(CHAIN)
    slope = outcome.diff["p"] / outcome.diff["s"]
    outcome = with_diff(outcome, "s", changed(1, lambda v: v + 0.125))
    outcome = with_diff(outcome, "p", lambda _: outcome.diff["s"] * slope)
    outcome = with_diff(outcome, "x", lambda _: outcome.diff["p"] * (0.5 * np.array(X) + 1))
    assert wrong(CHAIN, outcome) == [("backward", "s")]


def test_a_blob_that_is_not_reported_keeps_the_reference_s_value_and_bound() -> None:
    whole = answer(CHAIN, "float32")
    bare = replace(whole, data={"loss": whole.data["loss"]}, diff={"x": whole.diff["x"]})
    assert wrong(CHAIN, bare) == []
    alone = of(compared(CHAIN, bare), "loss").want.error
    assert alone > of(compared(CHAIN, whole), "loss").want.error


def test_an_answer_of_a_loss_alone_is_compared_with_the_net_s() -> None:
    assert wrong(CHAIN, Outcome("float64", answer(CHAIN).loss)) == []
    assert wrong(CHAIN, Outcome("float64", answer(CHAIN).loss + 1e-12)) == [("total", "total")]


def test_the_total_is_compared_with_the_tops_that_are_reported() -> None:
    outcome = with_data(answer(CHAIN), "loss", lambda a: a * 2)
    assert wrong(CHAIN, outcome) == [("forward", "loss"), ("total", "total")]
    assert wrong(CHAIN, replace(outcome, loss=outcome.loss * 2)) == [("forward", "loss")]


def test_unsettled_every_layer_runs_on_the_reference_s_own_values() -> None:
    outcome = with_data(answer(CHAIN), "p", changed(1, lambda v: v + 0.125))
    assert wrong(CHAIN, outcome, settled=False) == [("forward", "p")]
    assert wrong(CHAIN, outcome)[:2] == [("forward", "p"), ("forward", "s")]


def test_an_array_of_another_count_does_not_take_the_reference_s_place() -> None:
    outcome = with_data(answer(CHAIN), "p", lambda a: a[:1])
    assert wrong(CHAIN, outcome) == [("forward", "p")]


def test_an_array_of_another_shape_and_the_same_count_does() -> None:
    outcome = with_data(answer(CHAIN), "p", lambda a: a.reshape(3, 2))
    assert wrong(CHAIN, outcome) == []


def test_blobs_of_another_name_are_not_judged() -> None:
    outcome = answer(CHAIN)
    assert wrong(CHAIN, replace(outcome, data={**outcome.data, "mine": np.ones(3)})) == []


def test_an_input_is_exact_and_does_not_take_the_reference_s_place() -> None:
    outcome = with_data(answer(CHAIN), "x", changed(0, lambda v: np.nextafter(v, 2)))
    assert wrong(CHAIN, outcome) == [("input", "x")]


IN_PLACE = case_of(POWER, layer("relu", "ReLU", ["p"], ["p"]), SIGMOID, LOSS, inputs={"x": X, "y": Y})


def test_an_in_place_layer_is_compared_with_the_layer_that_made_its_blob() -> None:
    comparisons = compared(IN_PLACE, answer(IN_PLACE))
    assert [(c.layer, c.aspect) for c in comparisons if c.blob == "p"] == [("relu", "forward"), ("relu", "backward")]
    assert wrong(IN_PLACE, answer(IN_PLACE)) == []


def test_the_weighted_sum_is_taken_before_a_layer_above_changes_the_top_in_place() -> None:
    """BVLC Caffe puts no Split under a loss top with the implicit weight, so that a layer may work on it in place."""
    case = case_of(
        layer("loss", "SoftmaxWithLoss", ["x", "y"]),
        layer("scaled", "Power", ["loss"], ["loss"], options="power_param { scale: 10 }"),
        inputs={"x": X, "y": Y},
        steps=("forward",),
    )
    outcome = answer(case, dialect="bvlc")
    assert outcome.data["loss"] == pytest.approx(10 * outcome.loss)
    told = compared(case, outcome, "bvlc")
    assert measure(np.array(outcome.loss), [of(told, "total", "total").want], "float64").accepted


TWICE = replace(CHAIN, steps=("forward", "backward", "forward", "backward"))


def test_the_loss_of_every_forward_pass_is_compared() -> None:
    outcome = answer(TWICE)
    names = [c.blob for c in compared(TWICE, outcome) if c.aspect == "total"]
    assert names == ["total after step 1", "total"]
    assert wrong(TWICE, outcome) == []
    assert wrong(TWICE, replace(outcome, loss=2 * outcome.loss)) == [("total", "total")]
    assert outcome.loss_trace is not None
    spoilt = (2 * outcome.loss, *outcome.loss_trace[1:])
    assert wrong(TWICE, replace(outcome, loss_trace=spoilt)) == [("total", "total after step 1")]


def test_an_in_place_layer_on_an_input_runs_again_on_its_own_result() -> None:
    """The state after the last pass is compared in the last pass; in the first one the blob was another."""
    double = layer("double", "Power", ["x"], ["x"], options="power_param { scale: 2 }")
    case = case_of(
        double, layer("loss", "SoftmaxWithLoss", ["x", "y"]), inputs={"x": X, "y": Y}, steps=("forward",) * 2
    )
    outcome = answer(case)
    np.testing.assert_array_equal(outcome.data["x"], 4 * np.array(X))
    assert wrong(case, outcome) == []


def test_without_a_backward_pass_no_gradient_is_asked_for() -> None:
    case = replace(CHAIN, steps=("forward",))
    outcome = with_diff(answer(case), "x", lambda a: a + 1)
    assert wrong(case, outcome) == [("unasked", "x")]


def test_a_pass_forward_after_the_last_backward_leaves_gradients_to_compare() -> None:
    case = replace(CHAIN, steps=("forward", "backward", "forward"))
    outcome = answer(case)
    assert wrong(case, outcome) == []
    assert wrong(case, with_diff(outcome, "x", lambda a: a + 1)) == [("backward", "x")]


def _inner_product(rates: tuple[float, float]) -> Case:
    specs = " ".join(f"param {{ lr_mult: {rate} }}" for rate in rates)
    ip = layer("ip", "InnerProduct", ["x"], options=f"{specs} inner_product_param {{ num_output: 3 }}")
    params = {"ip": (np.arange(9.0).reshape(3, 3) / 8, np.arange(3.0))}
    loss = layer("loss", "SoftmaxWithLoss", ["ip", "y"])
    return case_of(ip, loss, inputs={"x": X, "y": Y}, params=params, forced=False)


def test_parameter_gradients_are_compared() -> None:
    case = _inner_product((1.0, 1.0))
    outcome = answer(case)
    assert wrong(case, outcome) == []
    weights, bias = outcome.param_diff["ip"]
    assert wrong(case, replace(outcome, param_diff={"ip": (weights, bias + 1)})) == [("parameter", "ip[1]")]


def test_nobody_asks_for_the_gradient_of_a_parameter_that_does_not_learn() -> None:
    case = _inner_product((1.0, 0.0))
    outcome = answer(case)
    weights, bias = outcome.param_diff["ip"]
    np.testing.assert_array_equal(bias, 0)
    assert wrong(case, replace(outcome, param_diff={"ip": (weights, bias + 1)})) == [("unasked", "ip[1]")]
    assert wrong(case, replace(outcome, param_diff={"ip": (weights + 1, bias)})) == [("parameter", "ip[0]")]


def test_a_shared_parameter_is_asked_for_by_any_of_its_layers() -> None:
    def ip(name: str, bottom: str, rate: float) -> str:
        options = f'param {{ name: "w" lr_mult: {rate} }} inner_product_param {{ num_output: 3 bias_term: false }}'
        return layer(name, "InnerProduct", [bottom], options=options)

    w = (np.arange(9.0).reshape(3, 3) / 8,)
    net = ip("a", "x", 1.0), ip("b", "a", 0.0), layer("loss", "SoftmaxWithLoss", ["b", "y"])
    case = case_of(*net, inputs={"x": X, "y": Y}, params={"a": w, "b": w}, forced=False)
    outcome = answer(case)
    assert wrong(case, outcome) == []
    assert [(c.aspect, c.blob) for c in compared(case, outcome) if c.blob in ("a[0]", "b[0]")] == [
        ("parameter", "a[0]"),
        ("parameter", "b[0]"),
    ]


def test_the_weights_that_may_be_lost_are_those_of_the_layer_s_tops() -> None:
    tops = layer("cut", "Slice", ["x"], ["a", "b", "c"], (0.5, 2.0, 0.0))
    case = case_of(tops, inputs={"x": X})
    assert of(compared(case, answer(case)), "x", "backward").weights == {0.5, 2.0, 0.0}


def test_a_gradient_that_is_no_weight_is_not_taken_for_one() -> None:
    assert of(compared(CHAIN, answer(CHAIN)), "p", "backward").weights == frozenset()


def test_an_automatic_top_is_compared() -> None:
    case = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"], []), inputs={"x": X, "y": Y})
    outcome = with_data(answer(case), "(automatic)", lambda a: a + 1)
    assert wrong(case, outcome)[0] == ("forward", "(automatic)")


def test_a_net_without_layers_is_refused_in_the_forward_pass() -> None:
    with pytest.raises(NetError) as refused:
        compared(Case("tests/empty", 'name: "nothing"'), Outcome("float64", 0.0))
    assert refused.value.stage == "forward"


def test_what_the_reference_cannot_run_on_is_refused() -> None:
    moved = layer("label", "Power", ["y"], options="power_param { shift: 0 }")
    case = case_of(moved, layer("loss", "SoftmaxWithLoss", ["x", "label"]), inputs={"x": X, "y": Y}, steps=("forward",))
    outcome = with_data(answer(case), "label", lambda a: a + 7)
    with pytest.raises(NetError):
        compared(case, outcome)
    assert wrong(case, outcome, settled=False) == [("forward", "label")]
