"""Passes: a case and an outcome with several, in JSON and back, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.contract.case import Case, Pass, forms_by_type
from conformance.contract.dtypes import TYPES
from conformance.contract.outcome import Outcome, outcome_from_json
from conformance.protocol import violation

PLAIN = Case("a/case", "#", {"x": np.array([1.0, 2.0])}, params={"ip": (np.ones((1, 2)),)})
SECOND = Pass(
    {"x": np.array([[0.1, np.inf]])},
    {"ip": (np.full((1, 2), 0.1), np.zeros(1))},
    {"loss": 2.0},
    {"loss": float("nan")},
    clear=False,
    steps=("forward", "backward", "backward"),
)
BACKWARD = Pass(steps=("backward",), prefill_diff={"loss": 3.0})
SEVERAL = replace(PLAIN, passes=(SECOND, Pass(), BACKWARD), each_pass=True)
STATE = Outcome("float64", 1.5, {"x": np.array([1.0, np.nan])}, {"x": np.zeros(2)}, {"ip": (np.zeros(2),)})


def test_a_case_with_passes_travels_whole() -> None:
    text = json.dumps(SEVERAL.to_json(), allow_nan=False)
    arrived = Case.from_json("a/case", json.loads(text))
    assert arrived.digest() == SEVERAL.digest()
    assert json.dumps(arrived.to_json()) == text
    assert arrived.each_pass
    assert [one.clear for one in arrived.passes] == [False, True, True]
    assert violation("case", json.loads(text)) is None


def test_a_passs_defaults_are_left_out_and_a_case_of_one_pass_is_as_it_was() -> None:
    assert Pass().to_json() == {}
    assert BACKWARD.to_json() == {"prefill_diff": {"loss": 3.0}, "steps": ["backward"]}
    assert set(PLAIN.to_json()) == {"net", "inputs", "params"}
    assert PLAIN.digest() == "9e3a237b03ff"


def test_the_first_pass_is_the_case_itself() -> None:
    first, *others = SEVERAL.sequence
    assert first.inputs is PLAIN.inputs
    assert first.params is PLAIN.params
    assert tuple(others) == SEVERAL.passes
    assert SEVERAL.all_steps == ("forward", "backward", *SECOND.steps, "forward", "backward", "backward")


@pytest.mark.parametrize(
    "other",
    [
        replace(SEVERAL, each_pass=False),
        replace(SEVERAL, passes=SEVERAL.passes[:2]),
        *(
            replace(SEVERAL, passes=(replace(SECOND, **{name: value}), *SEVERAL.passes[1:]))
            for name, value in {
                "inputs": {"x": np.array([0.1, np.inf])},
                "params": {},
                "prefill_diff": {"loss": 2.5},
                "top_diff": {},
                "clear": True,
                "steps": ("forward", "backward"),
            }.items()
        ),
        replace(SEVERAL, passes=(Pass({}, {"x": (np.array([[0.1, np.inf]]),)}), *SEVERAL.passes[1:])),
    ],
)
def test_the_digest_tells_passes_apart(other: Case) -> None:
    assert other.digest() != SEVERAL.digest()


def test_passes_are_rounded_as_the_case_is() -> None:
    for dtype in TYPES:
        held = SEVERAL.rounded(dtype)
        tenth = TYPES[dtype].rounded(np.array(0.1))
        assert held.passes[0].inputs["x"][0, 0] == held.passes[0].params["ip"][0][0, 0] == tenth
        assert held.passes[0].steps == SECOND.steps
        assert not held.passes[0].clear


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"passes": (Pass(steps=()),)}, r"a/case, pass 2: steps are 'forward' and 'backward', at least one; got \[\]"),
        ({"passes": (Pass(), Pass(steps=("sideways",)))}, "pass 3: steps are"),
        ({"passes": (Pass({"x": np.ones(2)}, steps=("backward",)),)}, "pass 2: it has inputs and runs no forward"),
        ({"passes": (Pass(top_diff={"x": 1.0}, steps=("backward",)),)}, "pass 2: it has top_diff and runs no forward"),
        ({"each_pass": True}, "each_pass asks for the state after each of several passes; there is one"),
        ({"passes": (Pass(),), "each_pass": 1}, "each_pass is true or false; got 1"),
    ],
)
def test_what_no_case_can_be_is_refused(changed: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(PLAIN, **changed)


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        ([{"input": {}}], r"passes\[0\]: 'input' is no field of a pass: it has inputs, params"),
        ([{}, {"clear": "no"}], r"passes\[1\]: clear is true or false; got 'no'"),
        ([{}, {"inputs": {"x": {"shape": [2], "data": [1]}}}], r"passes\[1\]: an array of shape \[2\]"),
        ([{"inputs": {"x": {"data": [1]}}}], r"passes\[0\]: the field 'shape' is missing"),
        ([{"top_diff": {"x": "much"}}], r"passes\[0\]: 'much' is no number"),
        ([[]], r"passes\[0\]: "),
        (3, "not iterable"),
    ],
)
def test_a_broken_pass_is_named(passes: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"case a/case.*{said}"):
        Case.from_json("a/case", {**PLAIN.to_json(), "passes": passes})


def test_an_outcome_with_passes_travels_whole() -> None:
    first = replace(STATE, loss=0.5, data={"x": np.ones(3)})
    message = json.loads(json.dumps(replace(STATE, passes=(first, STATE)).to_json(), allow_nan=False))
    assert violation("outcome", {"id": 1, "outcome": message}) is None
    arrived = outcome_from_json(message, "float64")
    assert isinstance(arrived, Outcome)
    assert [one.loss for one in arrived.passes] == [0.5, 1.5]
    assert arrived.passes[0].data["x"].shape == (3,)
    assert "passes" not in STATE.to_json()


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        ([{"loss": 1.5}], r"passes\[0\]: the last pass's state is the outcome's own, and this differs"),
        ([{"data": {}}], r"passes\[0\]: the field 'loss' is missing"),
        ([{"loss": 1, "data": {"x": {"shape": [3], "data": []}}}], r"passes\[0\]: data.x: an array of shape \[3\]"),
        ([{"error": "no", "stage": "forward"}], r"passes\[0\]: a pass's state is an outcome without passes of its own"),
        ([{**STATE.to_json(), "passes": [STATE.to_json()]}], "without passes of its own"),
        ([{**STATE.to_json(), "diff": {"x": {"shape": [2], "data": [0, 1]}}}], "this differs"),
        ([{**STATE.to_json(), "param_diff": {"ip": []}}], "this differs"),
    ],
)
def test_states_that_do_not_fit_are_named(passes: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        outcome_from_json({**STATE.to_json(), "passes": passes}, "float64")


def test_of_several_forms_of_a_type_the_first_is_meant() -> None:
    assert forms_by_type(("A:one", "B:two", "A:three")) == {"A": "one", "B": "two"}
