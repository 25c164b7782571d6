"""Every published meaning of a type that forks share, written as a small Python layer, is named by the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.adapters.python_layer import open_python_layer
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.engine.execution import execute
from conformance.losses import KNOWN, loss_of_type
from conformance.record.report import Judged, Report
from conformance.suite.forms import checks
from conformance.suite.properties import checks as properties
from conformance.views.forms import forms_told
from refimpl.layers import every_form, forms_of

LAYERS = Path(__file__).parents[1] / "miniature_layers" / "fork_forms.py"
FORMS = {
    "SmoothL1Loss": {
        "Girshick": "girshick",
        "Cascade": "cascade",
        "Ssd": "ssd",
        "SsdThreeBottoms": "ssd-three-bottoms",
        "Jolibrain": "jolibrain",
        "Synopsys": "synopsys",
        "Rfcn": "rfcn",
        "CaffeMex": "caffemex",
        "Happynear": "happynear",
        "Deepcut": "deepcut",
        "Yuqj1991": "yuqj1991",
    },
    "FocalLoss": {
        **{name: name for name in ("F1", "F2", "F3", "F4", "F5", "F6")},
        "F4Gpu": "F4-gpu",
        "F4GpuOneAlpha": "F4-gpu-one-alpha",
    },
    "TripletLoss": {name: name for name in ("T1", "T2", "T3", "T4", "T5", "T6", "T7")},
}
QUICK = {"SsdThreeBottoms", "F4Gpu", "T2", "T6"}
"""The others take as long each, and are told apart by the same nets."""


def verdicts_of(kind: str, name: str, told: bool = True) -> Iterator[Verdict]:
    """What the layer, in the type's place, is judged to do with the nets on which forms differ."""
    options = " --options-as-param-str" if told else ""
    layer = open_python_layer(f"{LAYERS}:{name} --as {kind}{options}")
    loss = loss_of_type(kind)
    assert loss is not None
    for check in checks({loss.stem: loss}):
        yield from execute(check, Session(layer, layer.describe(), "float32"))


def said_of(kind: str, verdicts: Iterator[Verdict]) -> str:
    """The report's sentence on the form."""
    report = Report.__new__(Report)
    object.__setattr__(report, "judged", [Judged("forms", kind, verdict) for verdict in verdicts])
    (said,) = forms_told(report)
    return said


@pytest.mark.parametrize(
    ("kind", "name", "form"),
    [
        pytest.param(kind, name, form, marks=() if name in QUICK else pytest.mark.slow, id=form)
        for kind, names in FORMS.items()
        for name, form in names.items()
    ],
)
def test_a_layer_of_a_fork_is_named(kind: str, name: str, form: str) -> None:
    assert f"{kind}: the form {form}, " in said_of(kind, verdicts_of(kind, name))


def test_every_form_of_these_types_has_its_layer() -> None:
    assert {kind: sorted(names.values()) for kind, names in FORMS.items()} == {
        kind: sorted(forms_of(kind)) for kind in FORMS
    }


def test_a_layer_that_is_told_no_options_is_named_by_its_defaults() -> None:
    """Whatever asks for an option is unsupported, and says nothing."""
    assert "TripletLoss: the form T3, " in said_of("TripletLoss", verdicts_of("TripletLoss", "T3", told=False))


@pytest.mark.slow
def test_a_layer_with_fewer_checks_than_its_forks_is_named() -> None:
    """Three bottoms, which its fork refuses, it computes as the derivative of another form's loss."""
    assert "SmoothL1Loss: the form girshick, " in said_of("SmoothL1Loss", verdicts_of("SmoothL1Loss", "Unchecked"))


def test_a_layer_that_refuses_every_net_has_no_form() -> None:
    said = said_of("TripletLoss", verdicts_of("TripletLoss", "F6"))
    assert said.startswith("TripletLoss: refuses all of ")


def test_of_a_net_that_its_form_refuses_nothing_is_owed() -> None:
    """Relations between runs least of all; a form that computes the net owes them."""
    found = KNOWN["sigmoid_focal_loss"]
    (check,) = (each for each in properties({found.stem: found}) if each.id.endswith("/plain-permutation"))
    for name, status in (("F1", Status.NOT_APPLICABLE), ("F4Gpu", Status.PASSED)):
        layer = open_python_layer(f"{LAYERS}:{name} --as FocalLoss --options-as-param-str")
        verdicts = execute(check, Session(layer, layer.describe(), "float32"))
        assert {verdict.status for verdict in verdicts} == {status}


class Blind(ReferenceImplementation):
    """Claims every form, and computes what a type means where nobody says."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        return super().run(replace(case, forms=()), dtype)


class Refusing(Blind):
    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        return Refusal("setup", "some form or other refuses it")


class OneForm(Blind):
    """The same without the claim."""

    def describe(self) -> Description:
        return replace(super().describe(), any_forms=False)


def statuses_of(implementation: ReferenceImplementation) -> dict[str, Counter[Status]]:
    """How some of FocalLoss's nets are judged, in each form; by "" where none is asked for."""
    loss = KNOWN["focal_loss"]
    nets = tuple(net for net in loss.form_nets if net.name in ("certain", "sigmoid"))
    (check,) = checks({loss.stem: replace(loss, form_nets=nets)})
    found: dict[str, Counter[Status]] = {}
    for verdict in execute(check, Session(implementation, implementation.describe(), "float32")):
        assert "forms" not in verdict.detail or not implementation.describe().any_forms
        form = "/".join(verdict.check.split("/")[3:])
        found.setdefault(form, Counter())[verdict.status] += 1
    return found


def test_who_claims_every_form_is_asked_for_each_and_judged_by_it_alone() -> None:
    right, blind, refusing = map(statuses_of, (ReferenceImplementation(), Blind(), Refusing()))
    assert list(right) == every_form("FocalLoss")
    assert not any(status.breaks for counted in right.values() for status in counted)
    for form, counted in right.items():
        assert counted[Status.PASSED] > 0
        assert (blind[form][Status.FAILED] > 0) == (form != "F1"), form
        assert refusing[form][Status.FAILED] > 0 and refusing[form][Status.PASSED] == 0
    one = statuses_of(OneForm())
    assert list(one) == [""] and not one[""][Status.FAILED]


def test_a_claim_of_every_form_is_of_nets_and_names_none() -> None:
    with pytest.raises(ValueError, match="not told which form"):
        Description("x", capability="layer", layers=("FocalLoss",), any_forms=True)
    with pytest.raises(ValueError, match="names none of them"):
        Description("x", layers=("FocalLoss", "FocalLoss:F1"), any_forms=True)
