"""A loss whose gradient lacks the weight is recognised whatever else the net does with that gradient."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.judge.judgement import judge, judge_outcome
from conformance.judge.weightless import weightless
from conformance.losses import LOSSES
from conformance.losses.nets import layer, source
from conformance.suite import gradients
from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from tests.broken import Broken, after, session

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25]])
Y = np.array([[0.25, 1.0, -0.5], [-1.0, 0.125, 2.5]])
FORGETFUL = Broken(weightless(["EuclideanLoss"]))


def net(weight: float, between: str = "", forced: bool = True) -> str:
    """x, perhaps something in place on h, and a EuclideanLoss."""
    text = "force_backward: true\n" if forced else ""
    text += source("x", X.shape) + source("y", Y.shape)
    text += layer("h", "InnerProduct", ["x"], options="inner_product_param { num_output: 3 }") + between
    return text + layer("loss", "EuclideanLoss", ["h", "y"], weights=(weight,))


def case(weight: float, between: str = "", **fields: object) -> Case:
    params = {"h": (np.eye(3) * 2, np.zeros(3))}
    return Case("test", net(weight, between), {"x": X, "y": Y}, params=params, **fields)  # type: ignore[arg-type]


IN_PLACE = layer("r", "ReLU", ["h"], ["h"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "of",
    [
        case(2.5),
        case(0.0),
        case(3.0, IN_PLACE),
        case(3.0, steps=("forward", "backward", "backward")),
        case(3.0, IN_PLACE, steps=("forward", "backward") * 2),
        case(2.0, top_diff={"loss": 5.0}),
    ],
    ids=["plain", "zero", "in-place", "backward-twice", "in-place-twice", "top-diff"],
)
def test_every_failure_is_by_weight(of: Case, dtype: str) -> None:
    answer = FORGETFUL.run(of, dtype)
    failures = judge_outcome(of, answer, dtype).failures
    assert failures
    assert all(finding.by_weight for finding in failures)


def test_it_fails_requirements_on_weights_alone() -> None:
    of = case(3.0, IN_PLACE, steps=("forward", "backward") * 2)
    asked = [
        "euclidean_loss.backward",
        "net.in-place",
        "net.parameter-gradient",
        "net.repeated-passes",
        "net.total-loss",
    ]
    verdicts = judge("test", asked, of, FORGETFUL.run(of, "float64"), "float64")
    failed = {v.requirement for v in verdicts if v.status is Status.FAILED}
    assert failed == {"euclidean_loss.loss-weight", "net.explicit-loss-weight"}
    assert {v.requirement for v in verdicts if v.status is Status.PASSED} >= {"net.repeated-passes", "net.total-loss"}


def test_a_wrong_formula_is_no_lost_weight() -> None:
    def scaled(self: Layer, bottom: list[Blob], top: list[Blob]) -> None:
        bottom[0].diff[...] *= 1.01

    broken = Broken(after("EuclideanLoss", "backward", scaled))  # type: ignore[arg-type]
    of = case(2.5)
    failures = judge_outcome(of, broken.run(of, "float64"), "float64").failures
    assert failures
    assert not any(finding.by_weight for finding in failures)


@pytest.mark.parametrize("factor", [0.0, 2.5, 6.25])
def test_a_difference_tells_a_lost_weight_from_a_wrong_gradient(factor: float) -> None:
    """The suite's gradients have the weight 2.5: 6.25 has it twice, 0 never had a gradient."""

    def scaled(self: Layer, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in bottom:
            blob.diff[...] *= factor / 2.5

    broken = Broken(after("EuclideanLoss", "backward", scaled))  # type: ignore[arg-type]
    check = next(check for check in gradients.checks() if check.id == "gradients/euclidean_loss/plain")
    verdicts = {v.requirement: v.status for v in check.run(session(broken))}
    assert (
        verdicts
        == {
            0.0: {"euclidean_loss.gradient": Status.FAILED},
            2.5: {"euclidean_loss.gradient": Status.PASSED},
            6.25: {"euclidean_loss.loss-weight": Status.FAILED, "euclidean_loss.gradient": Status.INCONCLUSIVE},
        }[factor]
    )


@pytest.mark.parametrize("stem", ["softmax_with_loss", "infogain_loss", "hinge_loss", "contrastive_loss"])
def test_without_a_weight_there_is_nothing_to_forget(stem: str) -> None:
    loss = LOSSES[stem]
    of = loss.plain.case("test", weights=(1.0,))
    answer = Broken(weightless([loss.type])).run(of, "float64")
    assert isinstance(answer, Outcome)
    assert judge_outcome(of, answer, "float64").failures == []


def test_the_weight_is_still_in_the_top_afterwards() -> None:
    answer = FORGETFUL.run(case(2.5), "float64")
    assert isinstance(answer, Outcome)
    assert answer.diff["loss"] == 2.5


def test_every_loss_can_be_made_to_forget() -> None:
    losses = [kind for kind, found in REGISTRY.items() if found.implicit_weight]
    assert weightless(losses).keys() == set(losses)
