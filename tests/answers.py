"""Answers of the reference to a case, and the same answers with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.case import Array, Case
from conformance.outcome import Outcome
from conformance.suite.nets import source

__all__ = ["answer", "case_of", "changed", "first_largest", "with_data", "with_diff"]

Change = Callable[[Array], Array]


def case_of(*layers: str, inputs: Mapping[str, Any], forced: bool = True, **fields: Any) -> Case:
    """A case of Input layers and ``layers``, which ``conformance.suite.nets.layer`` writes."""
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
