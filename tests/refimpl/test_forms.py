"""Forms: what forks mean by one layer type, and the fields that only they read."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from conformance.adapters.reference import ReferenceImplementation, ran
from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.limits import Limits
from conformance.contract.outcome import Outcome
from conformance.judge.reference import build
from conformance.judge.side import sides_of
from conformance.losses import KNOWN, LOSSES, Loss
from refimpl.dialect import Dialect
from refimpl.errors import NetError, PrototxtError
from refimpl.form import Form
from refimpl.layers import FORMS, REGISTRY, class_of
from refimpl.layers.euclidean_loss import EuclideanLoss
from refimpl.messages import LossParameter
from refimpl.net import Net
from refimpl.prototxt import dump_net, parse_net
from refimpl.schema import Message, floating


class ScaledParameter(Message):
    scale: float = floating(2.0)


class WiderLossParameter(LossParameter):
    pull: float = floating(0.5)


class Forked(EuclideanLoss):
    """Two forks' distance."""

    type = "ForkedLoss"
    forms = (Form("north", "a fork"), Form("south", "another", {"factor": 3.0}))
    messages: ClassVar = {"scaled_param": ScaledParameter, "loss_param": WiderLossParameter}


NET = """
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "loss" type: "ForkedLoss" bottom: "a" bottom: "b" top: "loss" %s }
"""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "ForkedLoss", [Forked])
    monkeypatch.setitem(REGISTRY, "ForkedLoss", Forked)


def layer(options: str, form: str | None = None) -> Forked:
    forms = {} if form is None else {"ForkedLoss": form}
    found = Net(NET % options, dialect=Dialect("documented", forms=forms)).layers[-1].layer
    assert isinstance(found, Forked)
    return found


def test_the_form_in_force_is_the_one_asked_for_else_the_first() -> None:
    assert layer("").form.name == "north"
    assert layer("", "south").form.switches == {"factor": 3.0}


def test_a_form_that_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no form 'west': it has north, south"):
        class_of("ForkedLoss", "west")


def test_a_class_reads_fields_of_its_own_and_more_of_a_known_message() -> None:
    found = layer("scaled_param { scale: 5 } loss_param { ignore_label: 3 pull: 4 }")
    assert found.own["scaled_param"].scale == 5
    assert (found.own["loss_param"].pull, found.own["loss_param"].ignore_label) == (4, 3)
    assert layer("").own["scaled_param"].scale == 2


def test_a_field_that_no_form_has_is_refused_with_its_line() -> None:
    with pytest.raises(PrototxtError, match='scaled_param has no field "skale"') as caught:
        layer("scaled_param { skale: 5 }")
    assert caught.value.line == 4


def test_what_was_written_is_read_again() -> None:
    net = parse_net(NET % "scaled_param { scale: 5 } loss_param { pull: 4 }")
    assert parse_net(dump_net(net)) == net


def test_a_class_that_lacks_the_field_refuses_what_another_form_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type("Plain", (EuclideanLoss,), {"type": "ForkedLoss"})
    monkeypatch.setitem(FORMS, "ForkedLoss", [plain, Forked])
    monkeypatch.setitem(REGISTRY, "ForkedLoss", plain)
    Net(NET % "")
    with pytest.raises(NetError, match="loss_param has a field that ForkedLoss does not have here") as refusal:
        Net(NET % "loss_param { pull: 4 }")
    assert refusal.value.stage == "parse", "protobuf stops there, before any layer is set up"
    assert layer("loss_param { pull: 4 }", "south").own["loss_param"].pull == 4


@pytest.mark.parametrize(
    ("named", "asked", "tried"),
    [
        ((), None, ["documented ForkedLoss:north", "documented ForkedLoss:south"]),
        (("ForkedLoss:south",), None, ["documented ForkedLoss:south", "documented ForkedLoss:north"]),
        ((), "south", ["documented ForkedLoss:south"]),
    ],
)
def test_a_case_is_judged_under_every_form_that_it_may_be(
    named: tuple[str, ...], asked: str | None, tried: list[str]
) -> None:
    assert [side.name for side in sides_of(Case("c", NET % "", forms=named), asked)] == tried


FORKED = [loss for loss in KNOWN.values() if loss.forms]


@pytest.mark.parametrize("loss", FORKED, ids=lambda loss: loss.stem)
def test_the_reference_runs_the_form_that_a_case_names(loss: Loss) -> None:
    case = loss.plain.case("one", weights=(1.0,))
    for form in loss.forms:
        kind, _, name = form.partition(":")
        answer = ReferenceImplementation().run(replace(case, forms=(form,)), "float64")
        net = build(case, dialect=Dialect("documented", forms={kind: name}))
        assert isinstance(answer, Outcome)
        assert answer.loss == net.forward()
        assert net.layers[-1].layer.form.name == name
    assert answer_in(case, loss.forms[0]) == ran(build(case), case, "float64").loss


def answer_in(case: Case, form: str) -> float:
    answer = ReferenceImplementation().run(replace(case, forms=(form,)), "float64")
    assert isinstance(answer, Outcome)
    return answer.loss


def test_a_profile_of_forks_asks_nothing_of_caffe_s_own_forms() -> None:
    assert all(not variant.case("one").forms for loss in LOSSES.values() for variant in loss.variants)
    assert {loss.profile for loss in FORKED} == {"dense", "detection", "faces"}


@pytest.mark.parametrize(
    ("claimed", "outside"),
    [
        ((), ""),
        (("SoftmaxWithLoss",), ""),
        (("SoftmaxWithLoss:segnet",), ""),
        (("SoftmaxWithLoss", "SoftmaxWithLoss:BVLC"), "only SoftmaxWithLoss, SoftmaxWithLoss:BVLC"),
        (("EuclideanLoss",), "only EuclideanLoss"),
    ],
)
def test_a_type_is_claimed_in_all_its_forms_unless_some_are_named(claimed: tuple[str, ...], outside: str) -> None:
    loss = next(loss for loss in FORKED if "SoftmaxWithLoss:segnet" in loss.forms)
    check = Check("c", "f", loss.stem, ("r.s",), lambda session: (), layer_types=(loss.type,), forms=loss.forms)
    assert Limits(layers=claimed).of_check(check) == outside
