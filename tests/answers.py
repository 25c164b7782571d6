"""Answers of the reference to a case, and the same answers with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.finding import Finding
from conformance.judge.judgement import judge_outcome
from conformance.losses.nets import layer, source

__all__ = [
    "CONSUMED",
    "LABEL_GRADIENT",
    "SOFTMAX",
    "TWO_TOPS",
    "X",
    "Y",
    "answer",
    "case_of",
    "changed",
    "failures",
    "first_largest",
    "kinds",
    "only",
    "with_data",
    "with_diff",
]

Change = Callable[[Array], Array]

X = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]
Y = [2.0, 0.0]


def case_of(*layers: str, inputs: Mapping[str, Any], forced: bool = True, **fields: Any) -> Case:
    """A case of Input layers and ``layers``, which ``conformance.losses.nets.layer`` writes."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in inputs.items()}
    sources = "".join(source(name, array.shape) for name, array in arrays.items())
    return Case(
        "tests/case", ("force_backward: true\n" if forced else "") + sources + "".join(layers), arrays, **fields
    )


def answer(case: Case, dtype: str = "float64", dialect: str = "documented") -> Outcome:
    """What the reference answers; fails where it refuses."""
    outcome = ReferenceImplementation(dialect).run(case, dtype)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def with_data(outcome: Outcome, blob: str, change: Change) -> Outcome:
    """The outcome with other data in one blob."""
    return replace(outcome, data={**outcome.data, blob: change(outcome.data[blob].copy())})


def with_diff(outcome: Outcome, blob: str, change: Change) -> Outcome:
    """The outcome with another diff in one blob."""
    return replace(outcome, diff={**outcome.diff, blob: change(outcome.diff[blob].copy())})


def first_largest(array: Array) -> int:
    """The flat place of the entry of largest magnitude."""
    return int(np.argmax(np.abs(array)))


def changed(place: int, value: Callable[[Any], Any]) -> Change:
    """Replace the entry at a flat place by what ``value`` makes of it."""

    def change(array: Array) -> Array:
        array.reshape(-1)[place] = value(array.reshape(-1)[place])
        return array

    return change


def failures(
    case: Case, outcome: Outcome | Refusal, dtype: str = "float64", dialect: str | None = None
) -> list[Finding]:
    """What the judge rejects of an answer."""
    return judge_outcome(case, outcome, dtype, dialect).failures


def kinds(case: Case, outcome: Outcome | Refusal, dtype: str = "float64", dialect: str | None = None) -> set[str]:
    """The kinds of what it rejects."""
    return {finding.kind for finding in failures(case, outcome, dtype, dialect)}


def only(case: Case, outcome: Outcome | Refusal, dtype: str = "float64") -> Finding:
    """The one thing it rejects; fails where there is another."""
    (finding,) = failures(case, outcome, dtype)
    return finding


SOFTMAX = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"]), inputs={"x": X, "y": Y})

CONSUMED = case_of(
    layer("loss", "SoftmaxWithLoss", ["x", "y"], weights=(3.0,)),
    layer("monitor", "Power", ["loss"], options="power_param { scale: 2 }"),
    inputs={"x": X, "y": Y},
)
"""A weighted loss that another layer reads: BVLC Caffe counts it twice."""

TWO_TOPS = case_of(layer("loss", "SoftmaxWithLoss", ["x", "y"], ["loss", "p"]), inputs={"x": X, "y": Y})
"""BVLC Caffe refuses it."""

LABEL_GRADIENT = case_of(
    layer("moved", "Bias", ["y"], options="bias_param { axis: 0 num_axes: 0 }"),
    layer("loss", "SoftmaxWithLoss", ["x", "moved"]),
    inputs={"x": X, "y": Y},
    forced=False,
)
"""A learnable layer under the labels: refused in the backward pass."""
