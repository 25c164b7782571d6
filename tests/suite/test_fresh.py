"""Fresh values: of the same kind, others for another seed, and right answers to the published ones are wrong there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.dtypes import FLOAT
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status
from conformance.losses import LOSSES
from conformance.suite import determinism, loss_weight, passes, properties
from conformance.suite.extremes import of_many_digits
from conformance.suite.fresh import MOVED, SHARE, asked, renewed
from conformance.suite.golden import checks as golden

CASE = LOSSES["softmax_with_loss"].plain.case("c")


def test_without_a_seed_a_case_is_as_published() -> None:
    assert renewed(CASE, 0) is CASE


def test_scores_move_by_a_little_and_labels_stay() -> None:
    fresh = renewed(CASE, 5)
    before, after = CASE.inputs["x"], fresh.inputs["x"]
    assert (before != after).all()
    assert np.abs(after / before - 1).max() <= SHARE * (1 + 2**-20)
    assert FLOAT.holds(after).all()
    np.testing.assert_array_equal(fresh.inputs["y"], CASE.inputs["y"])
    assert (renewed(CASE, 6).inputs["x"] != after).any()
    assert renewed(CASE, 5).digest() == fresh.digest()


def test_a_label_that_its_type_does_not_hold_is_the_next_class_below() -> None:
    reference = ReferenceImplementation()
    case = LOSSES["softmax_with_loss"].sized((4, 1031)).case("c")
    case = replace(case, inputs={**case.inputs, "y": np.array([1030.0, 257.0, 100.875, -1.0])})
    for claim, labels in (
        ("bfloat16", [1024.0, 256.0, 100.5, -1.0]),
        ("float16, loss float32", [1030.0, 257.0, 100.875, -1.0]),
        ("float32", [1030.0, 257.0, 100.875, -1.0]),
    ):
        given = asked(case, Session(reference, reference.describe(), claim)).inputs
        np.testing.assert_array_equal(given["y"], labels)
        np.testing.assert_array_equal(given["x"], case.inputs["x"])


def test_what_is_equal_stays_equal_and_what_is_special_stays() -> None:
    values = np.array([[1.5, -1.5, 1.5], [np.nan, np.inf, -0.0], [2 * MOVED[1], MOVED[0] / 2, 0.0]])
    net = CASE.net
    moved = renewed(Case("c", net, {"x": values, "y": np.array([0.75, 2.5, 1.0])}), 9)
    x = moved.inputs["x"]
    assert x[0, 0] == x[0, 2] == -x[0, 1] != 1.5
    np.testing.assert_array_equal(x[1:], values[1:])
    assert np.signbit(x[1, 2])
    np.testing.assert_array_equal(moved.inputs["y"], [0.75, 2.5, 1.0])


def test_shapes_stay_be_they_of_a_scalar() -> None:
    case = of_many_digits(LOSSES["euclidean_loss"])
    fresh = renewed(case, 5)
    assert {n: [a.shape for a in some] for n, some in fresh.params.items()} == {"x": [()], "z": [()]}
    assert fresh.params["x"][0] != case.params["x"][0]


def test_later_passes_move_too() -> None:
    fresh = renewed(replace(CASE, passes=(Pass(inputs={"x": CASE.inputs["x"]}),)), 5)
    np.testing.assert_array_equal(fresh.passes[0].inputs["x"], fresh.inputs["x"])


class _Remembers:
    """Answers by a case's name alone."""

    def __init__(self) -> None:
        self._reference, self._answers = ReferenceImplementation(), dict[tuple[str, str], Outcome | Refusal]()

    def describe(self) -> Description:
        return self._reference.describe()

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        if (case.id, dtype) not in self._answers:
            self._answers[case.id, dtype] = self._reference.run(case, dtype)
        return self._answers[case.id, dtype]

    def close(self) -> None: ...


def test_remembered_answers_are_wrong_on_fresh_values() -> None:
    implementation = _Remembers()
    every = [check for check in golden() if check.layer == "hinge_loss"][::7]
    for seed, wanted in ((0, False), (11, True)):
        session = Session(implementation, implementation.describe(), FLOAT.name, fresh=seed)
        failed = [v.status is Status.FAILED for check in every for v in check.run(session)]
        assert any(failed) is wanted


def test_relations_are_held_on_fresh_values() -> None:
    small, reference = {"hinge_loss": LOSSES["hinge_loss"]}, ReferenceImplementation()
    families = (determinism, loss_weight, passes, properties)
    related = [check for family in families for check in family.checks(small) if check.core]
    for check in related:
        ran = []
        for seed in (0, 11):
            session = Session(reference, reference.describe(), FLOAT.name, fresh=seed)
            assert not [one for one in check.run(session) if one.status.breaks]
            ran.append({run.case.digest() for run in session.runs})
        assert not ran[0] & ran[1], check.id
