"""The fingerprint names the form that an implementation has, and no other; mixtures are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from conformance.adapters.reference import ran
from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Status, Verdict
from conformance.judge.fingerprint import Fingerprint
from conformance.judge.reference import build
from conformance.losses import KNOWN, Loss
from conformance.record.report import Judged, Report
from conformance.suite.forms import case_of
from conformance.views.forms import forms_told
from refimpl.dialect import QUIRKS, Dialect
from refimpl.errors import NetError
from refimpl.layers import every_form, forms_of

KIND = "SmoothL1Loss"
TYPES = dict.fromkeys(loss.type for loss in KNOWN.values() if loss.forms and not forms_of(loss.type))
"""The types of BVLC Caffe that forks mean something else by."""
FORMS = ("synopsys", "ssd", "jolibrain", "girshick", "deepcut")


def case(bottoms: int, options: str = "") -> Case:
    """A net on small arrays, weights neither 0 nor 1 among them."""
    rng = np.random.default_rng(bottoms)
    names = "xtuv"[:bottoms]
    inputs = {name: rng.integers(-24, 25, (3, 2, 1, 1)) / 8.0 for name in names[:2]}
    inputs |= {name: rng.choice([0.5, 2.0, 0.25], (3, 2, 1, 1)) for name in names[2:]}
    net = "force_backward: true\n" + "".join(
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ dim: 3 dim: 2 dim: 1 dim: 1 }} }} }}\n'
        for n in names
    )
    fed = " ".join(f'bottom: "{name}"' for name in names)
    net += f'layer {{ name: "l" type: "{KIND}" {fed} top: "l" loss_weight: 2.5 {options} }}\n'
    return Case(f"fingerprint/bottoms-{bottoms}", net, inputs)


CASES = (case(2), case(3), case(4), case(2, "smooth_l1_loss_param { sigma: 3 }"))


def answer(form: str, asked: Case) -> Outcome | Refusal:
    """What the reference gives in one form."""
    try:
        return ran(build(asked, dialect=Dialect("bvlc", QUIRKS, forms={KIND: form})), asked, "float64")
    except NetError as error:
        return Refusal(error.stage, str(error), error.layer)


def left(answers: Callable[[int, Case], Outcome | Refusal]) -> tuple[str, ...]:
    """The forms that explain the answers to all cases."""
    found = Fingerprint()
    told = [set(found.told_by(asked, answers(i, asked), "float64")[KIND].explaining) for i, asked in enumerate(CASES)]
    return tuple(sorted(set.intersection(*told)))


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_told_from_the_others(form: str) -> None:
    found = left(lambda _, asked: answer(form, asked))
    assert set(FORMS) & set(found) == {form}


def test_one_form_here_and_another_there_is_none() -> None:
    assert left(lambda i, asked: answer("synopsys" if i % 2 else "jolibrain", asked)) == ()


BESIDE_CAFFE = {kind: [loss for loss in KNOWN.values() if loss.type == kind and loss.forms] for kind in TYPES}


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind in BESIDE_CAFFE for form in every_form(kind)])
def test_forks_of_caffe_s_own_types_are_told_apart_from_it_and_from_each_other(kind: str, form: str) -> None:
    """In either direction: whatever form it is, of all that are known that one alone explains the answers."""
    cases = [variant.case(f"{loss.stem}/{variant.name}") for loss in BESIDE_CAFFE[kind] for variant in loss.variants]
    found, explaining = Fingerprint(), set(every_form(kind))
    for asked in cases:
        dialect = Dialect("bvlc", QUIRKS, forms={kind: form})
        try:
            answer: Outcome | Refusal = ran(build(asked, dialect=dialect), asked, "float64")
        except NetError as error:
            answer = Refusal(error.stage, str(error), error.layer)
        explaining &= set(found.told_by(asked, answer, "float64", "bvlc")[kind].explaining)
    assert explaining == {form}


OF_FORKS = [loss for loss in KNOWN.values() if any(bottom.role.fixed for bottom in loss.bottoms)]
"""Losses of boxes, whose forms differ in what they take."""


@pytest.mark.parametrize(("loss", "form"), [(loss, form) for loss in OF_FORKS for form in forms_of(loss.type)])
def test_forms_of_a_loss_of_boxes_are_told_apart(loss: Loss, form: str) -> None:
    found, explaining = Fingerprint(), set(forms_of(loss.type))
    for net in loss.form_nets:
        asked = case_of(loss, net)
        try:
            answer: Outcome | Refusal = ran(
                build(asked, dialect=Dialect("fork", forms={loss.type: form})), asked, "float64"
            )
        except NetError as error:
            answer = Refusal(error.stage, str(error), error.layer)
        explaining &= set(found.told_by(asked, answer, "float64")[loss.type].explaining)
    assert explaining == {form}


def by_hand(asked: Case) -> Outcome:
    """SSD's layer of two bottoms, written without the reference."""
    x, t = asked.inputs["x"], asked.inputs["t"]
    difference = x - t
    inside = np.abs(difference) < 1
    loss = float(np.sum(np.where(inside, 0.5 * difference**2, np.abs(difference) - 0.5)) / len(x))
    slope: Array = 2.5 * np.where(inside, difference, np.sign(difference)) / len(x)
    data = {**asked.inputs, "l": np.array(loss)}
    return Outcome("float64", 2.5 * loss, data, {"x": slope, "t": -slope, "l": np.array(2.5)}, {})


def test_a_layer_written_by_hand_is_named() -> None:
    answers = [by_hand(CASES[0]), *(answer("ssd", asked) for asked in CASES[1:])]
    assert "ssd" in left(lambda i, _: answers[i])
    assert not {"synopsys", "jolibrain", "girshick", "deepcut"} & set(left(lambda i, _: answers[i]))


def test_a_form_that_only_refuses_what_is_computed_is_not_spoken_against() -> None:
    """jolibrain's layer without its check of the counts: three bottoms are computed by something else."""
    found = Fingerprint()
    for asked in CASES:
        found.told_by(asked, answer("jolibrain" if len(asked.inputs) != 3 else "ssd-three-bottoms", asked), "float64")
    assert "jolibrain" in found.left[KIND]
    assert not {"synopsys", "girshick", "deepcut"} & found.left[KIND]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([["ssd", "girshick"], ["ssd"]], "SmoothL1Loss: the form ssd, which explains all of 2 cases"),
        ([["a", "b"], ["a", "b", "c"]], "SmoothL1Loss: a or b; each explains all of 2 cases"),
        (
            [["a"], ["b"]],
            "SmoothL1Loss: none of the forms that are known explains all of 2 cases; some",
        ),
    ],
)
def test_the_report_says_which_form_it_is_or_none(told: list[list[str]], said: str) -> None:
    verdicts = [
        Judged("f", KIND, Verdict("a/b/c", "r.s", "float64", Status.PASSED, detail={"forms": {KIND: forms}}))
        for forms in told
    ]
    report = Report.__new__(Report)
    object.__setattr__(report, "judged", verdicts)
    assert next(forms_told(report)).startswith(said)
