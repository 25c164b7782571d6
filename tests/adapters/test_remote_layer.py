"""A process of capability layer: the reference's net around one layer that somebody else computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.process import ProcessImplementation
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.implementation import Crash, DoesNotStart, ProtocolError, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from tests.miniatures import WORKERS

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" loss_weight: 2 }
layer { name: "other" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "other" loss_weight: 0.5 }
"""
X = np.array([[1.0, 2.0, -3.0], [0.5, -0.25, 0.0]])
CASE = Case("two losses", NET, {"x": X, "y": np.zeros((2, 3))})


@contextmanager
def one_layer(behaviour: str = "none") -> Iterator[ProcessImplementation]:
    implementation = ProcessImplementation([sys.executable, str(WORKERS / "one_layer.py"), behaviour], timeout=20.0)
    try:
        yield implementation
    finally:
        implementation.close()


def test_the_net_around_the_layer_splits_weighs_and_sums() -> None:
    with one_layer() as implementation:
        outcome = implementation.run(CASE, "float32")
    assert isinstance(outcome, Outcome)
    assert outcome.loss == 2.5 * (X**2).sum() / 4
    np.testing.assert_array_equal(outcome.diff["x"], 2.5 * X.astype(np.float32) / 2)
    np.testing.assert_array_equal(outcome.diff["y"], -2.5 * X.astype(np.float32) / 2)


def test_layer_types_that_nobody_knows_are_left_alone() -> None:
    with one_layer() as implementation:
        assert implementation.describe().layers == ("EuclideanLoss", "NobodyKnowsLoss")
        assert isinstance(implementation.run(CASE, "float32"), Outcome)


def test_a_layers_refusal_names_stage_and_layer() -> None:
    with one_layer("refuses") as implementation:
        refusal = implementation.run(CASE, "float32")
    assert isinstance(refusal, Refusal)
    assert (refusal.stage, refusal.layer) == ("forward", "loss")
    assert "not today" in refusal.message


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("forgets its top", r"forward returned 0 top\(s\)"),
        ("sends float64", r"tops\.0 is float64, asked for float32"),
        ("forgets a gradient", "backward returned for bottom 0 nothing"),
        ("sends a wrong shape", r"backward returned for bottom 0 shape \(1,\) where \(2, 3\)"),
    ],
)
def test_a_wrong_answer_is_a_protocol_error(behaviour: str, words: str) -> None:
    with one_layer(behaviour) as implementation, pytest.raises(ProtocolError, match=words):
        implementation.run(CASE, "float32")


def test_a_death_is_a_crash_and_the_next_case_runs() -> None:
    forward = Case("forward only", NET, CASE.inputs, steps=("forward",))
    with one_layer("dies in backward") as implementation:
        with pytest.raises(Crash, match="died by SIGABRT"):
            implementation.run(CASE, "float32")
        assert isinstance(implementation.run(forward, "float32"), Outcome)


def test_capability_layer_without_layers_is_no_description() -> None:
    with one_layer("names no layers") as implementation, pytest.raises(DoesNotStart, match="names its layers"):
        implementation.describe()


def test_single_layers_are_not_timed() -> None:
    with one_layer() as implementation, pytest.raises(Unsupported, match="not timed"):
        implementation.time(CASE, "float32", rounds=2)


LARGER = {"x": np.arange(12.0).reshape(4, 3), "y": np.ones((4, 3))}
PASSES = replace(
    CASE,
    passes=(Pass(LARGER), Pass(CASE.inputs, steps=("forward", "backward", "backward", "forward"))),
    each_pass=True,
)


def test_one_object_goes_through_all_passes() -> None:
    wanted = ReferenceImplementation().run(PASSES, "float32")
    with one_layer() as implementation:
        found = implementation.run(PASSES, "float32")
    assert isinstance(wanted, Outcome) and isinstance(found, Outcome)
    assert found.loss_trace == wanted.loss_trace
    for one, other in zip(found.passes, wanted.passes, strict=True):
        np.testing.assert_array_equal(one.diff["x"], other.diff["x"])


def test_an_object_that_keeps_something_of_the_first_pass_is_found_out() -> None:
    same_size = replace(CASE, passes=(Pass({"x": 3 * X}),))
    with one_layer("keeps the first batch") as implementation:
        found = implementation.run(same_size, "float32")
    assert isinstance(found, Outcome)
    assert found.loss_trace is not None
    assert found.loss_trace[0] == found.loss_trace[2]


def test_a_layer_of_version_1_gets_one_pass_and_no_more() -> None:
    with one_layer("speaks version 1") as implementation:
        assert isinstance(implementation.run(CASE, "float32"), Outcome)
        with pytest.raises(Unsupported, match="speaks version 1"):
            implementation.run(PASSES, "float32")
