"""``reference[:DIALECT]``: the built-in reference as an implementation, in float64 or rounded to float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.version import VERSION
from conformance.judge.reference import build, records_of, run_steps
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["ReferenceImplementation", "open_reference", "outcome_of", "ran"]


def open_reference(argument: str, dialect: str | None = None) -> ReferenceImplementation:
    """The reference in the dialect named, or in the one asked for. Raises `ValueError` for another."""
    return ReferenceImplementation(argument or dialect or "documented")


class ReferenceImplementation:
    """Runs `refimpl.Net` in one dialect. It computes in float64 and rounds what it stores."""

    def __init__(self, dialect: str = "documented") -> None:
        if dialect not in ("documented", "bvlc"):
            raise ValueError(f"the reference has no dialect {dialect!r}: use reference:documented or reference:bvlc")
        self.dialect = dialect

    def describe(self) -> Description:
        return Description(
            name="reference",
            version=VERSION,
            language="Python",
            dtypes=DEFAULT,
            dialect=self.dialect,
            determinism="run-to-run",
            environment={"numpy": np.__version__},
            any_types=True,
            any_forms=True,
        )

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        try:
            net = build(case, dialect=self.dialect, dtype=dtype)
            return ran(net, case, dtype)
        except NetError as error:
            return Refusal(error.stage, str(error), error.layer)

    def close(self) -> None:
        """Nothing is held."""


def ran(net: Net, case: Case, dtype: str, forward: Callable[[Net], Any] = Net.forward) -> Outcome:
    """Run a case's passes on a net of numpy storage; what it holds after them, and after each where the case asks."""
    states: list[Outcome] = []

    def after(index: int, trace: list[Any]) -> None:
        if case.each_pass:
            states.append(outcome_of(net, dtype, trace))

    trace = run_steps(net, case, forward, after=after)
    return replace(outcome_of(net, dtype, trace), passes=tuple(states))


def outcome_of(net: Net, dtype: str, trace: list[Any]) -> Outcome:
    """What a net of numpy storage holds after its steps; ``trace`` is the loss known after each."""
    return Outcome(
        dtype=dtype,
        loss=float(trace[-1]),
        data={name: blob.data.copy() for name, blob in net.blobs.items()},
        diff={name: blob.diff.copy() for name, blob in net.blobs.items()},
        param_diff={layer: tuple(blob.diff.copy() for blob in blobs) for layer, blobs in net.params.items()},
        layers=records_of(net),
        outputs=tuple(net.outputs),
        loss_trace=tuple(float(loss) for loss in trace),
    )
