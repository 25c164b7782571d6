"""Exploration: what a seed draws, what a row says of its case, and what is made simple of a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.losses import LOSSES, Loss
from conformance.losses.space import SIZES, WEIGHTS, Space
from conformance.suite import FAMILIES, all_checks, exploration
from conformance.suite.covering import Line
from conformance.suite.space import Point
from refimpl.prototxt import parse_net

EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.stem)


class Wrong:
    """The reference, whose answers are changed."""

    def __init__(self, change: Callable[[Case, Outcome], Outcome]) -> None:
        self._inner, self._change, self.heard = ReferenceImplementation(), change, list[str]()

    def describe(self) -> Description:
        return self._inner.describe()

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        self.heard.append(case.digest())
        answer = self._inner.run(case, dtype)
        return answer if isinstance(answer, Refusal) else self._change(case, answer)

    def close(self) -> None:
        self._inner.close()


def right(case: Case, answer: Outcome) -> Outcome:
    return answer


def no_gradient_in_test(case: Case, answer: Outcome) -> Outcome:
    """Wrong where the phase is TEST, and right beside."""
    if case.phase != "TEST":
        return answer
    return replace(answer, diff={name: np.zeros_like(array) + 7 for name, array in answer.diff.items()})


def explored(change: Callable[[Case, Outcome], Outcome] = right, seed: int = 1) -> tuple[list[Verdict], Wrong, Session]:
    implementation = Wrong(change)
    session = Session(implementation, implementation.describe(), "float64")
    losses = {"euclidean_loss": LOSSES["euclidean_loss"]}
    (check,) = exploration.checks(losses, seed, 1)
    return list(check.run(session)), implementation, session


def test_a_run_that_does_not_ask_for_it_has_none_of_it() -> None:
    assert exploration.FAMILY not in FAMILIES
    assert not [check for check in all_checks(families=("space", "properties")) if check.family == exploration.FAMILY]
    asked = list(all_checks(seed=4, explore=2, families=(exploration.FAMILY,)))
    assert [check.id for check in asked] == [f"exploration/{stem}/{seed}" for seed in (4, 5) for stem in LOSSES]


def test_a_seed_draws_the_same_cases_every_time_and_another_seed_others() -> None:
    one, again, other = (explored(seed=seed)[1].heard for seed in (1, 1, 2))
    assert one == again
    assert len(one) == exploration.CASES
    assert not set(one) & set(other)


def test_what_passes_is_one_verdict_with_the_rows_of_its_cases() -> None:
    (verdict,), implementation, session = explored()
    space = Space(LOSSES["euclidean_loss"])
    points = list(islice(exploration.drawn(space, 1), exploration.CASES))
    assert verdict.status is Status.PASSED
    assert verdict.detail["rows"] == [exploration.letters_of(space, point.row) for point in points]
    assert [point.case().digest() for point in points] == implementation.heard
    assert len(session.runs) == 1


@EACH
def test_a_row_says_what_its_case_is(loss: Loss) -> None:
    """Read off the net and the arrays of each case, by nothing that made them."""
    space = Space(loss)
    for point in islice(exploration.drawn(space, 3), 25):
        case, row = point.case(), point.row
        net = parse_net(case.net)
        layers = [layer for layer in net.layer if layer.type == loss.type]
        own = layers[-1]
        assert len(layers) == 1 + (row["beside"] == "sibling")
        assert case.phase == row["phase"]
        passes = {"none": 1, "other-answers": 2, "other-values": 3, "smaller": 2, "larger": 2}
        assert len(case.sequence) == passes[row["pass"]]
        weights = tuple(np.float32(weight) for weight in WEIGHTS[row["loss_weight"]])
        assert tuple(np.float32(weight) for weight in own.loss_weight)[:1] == weights
        first = loss.bottoms[0].name
        held = {**case.sequence[-1].inputs, **{n: arrays[0] for n, arrays in case.sequence[-1].params.items()}}
        sizes = np.prod(held[first].shape, dtype=int)
        assert sizes in {n * c for n in SIZES[row["items"]] for c in SIZES[row["entries"]]}
        if row["pass"] in ("smaller", "larger"):
            before = {**case.inputs, **{n: arrays[0] for n, arrays in case.params.items()}}[first].size
            assert before > sizes if row["pass"] == "smaller" else before < sizes
        if row.get("ignored", "none") != "none":
            answers = held[loss.answer.name]
            count = np.count_nonzero(answers == own.loss_param.ignore_label)
            least = {"some": 1, "all-but-one": answers.size - 1, "all": answers.size}[row["ignored"]]
            most = answers.size if row["ignored"] == "all" else answers.size - 1
            assert least <= count <= most
            assert count
        for path, classes in space.options.items():
            value = own
            for part in path.split("."):
                value = getattr(value, part)
            chosen = classes[row[path.rpartition(".")[2]]]
            if chosen is not None:
                assert str(value) == str(chosen) or np.float32(value) == np.float32(chosen), path


def test_a_failure_is_told_by_the_simplest_row_that_fails() -> None:
    found, _, session = explored(no_gradient_in_test)
    *failing, rest = found
    space = Space(LOSSES["euclidean_loss"])
    assert failing
    rows = [exploration.point_of(space, verdict.detail).row for verdict in failing]
    defaults = space.whole({})
    changed = [{name: one for name, one in row.items() if one != defaults[name]} for row in rows]
    assert {"phase": "TEST"} in changed
    assert all(each["phase"] == "TEST" for each in changed)
    assert len(rest.detail["rows"]) == exploration.CASES
    kept = [run.case for run in session.runs]
    point = exploration.point_of(space, failing[0].detail)
    assert point.case().digest() in [case.digest() for case in kept]


def test_the_simplest_row_is_looked_for_class_by_class() -> None:
    space = Space(LOSSES["euclidean_loss"])
    row = space.whole({"items": "32", "entries": "256", "x": "tiny", "phase": "TEST", "prefill": "nan"})

    def breaks(point: Point) -> bool:
        return point.row["items"] not in ("few", "one") and point.row["prefill"] == "nan"

    found = exploration.smallest(Point(space, Line(row, 5)), breaks)
    assert {name: one for name, one in found.row.items() if one != space.whole({})[name]} == {
        "items": "8",
        "prefill": "nan",
    }
    assert found.line.draw == 5


@EACH
def test_letters_hold_a_row(loss: Loss) -> None:
    space = Space(loss)
    for point in islice(exploration.drawn(space, 9), 5):
        detail = {"row": exploration.letters_of(space, point.row), "draw": point.line.draw}
        assert exploration.point_of(space, detail).case().digest() == point.case().digest()


def test_a_space_with_another_class_has_another_mark() -> None:
    space = Space(LOSSES["hinge_loss"])
    before = exploration.mark_of(space)
    space.dimensions["phase"] = ("TRAIN", "TEST", "NEITHER")
    assert exploration.mark_of(space) != before
