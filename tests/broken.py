"""Broken implementations: the reference with some of its layers replaced, for tests of what the suite notices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.adapters.reference import ReferenceImplementation, ran
from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.engine.execution import execute
from conformance.judge.reference import build
from refimpl.blob import Blob
from refimpl.errors import NetError
from refimpl.layer import Layer
from refimpl.layers import REGISTRY

__all__ = ["Broken", "after", "failed", "not_passed", "run_family", "session"]

Hook = Callable[[Layer, Sequence[Blob], Sequence[Blob]], None]


class Broken(ReferenceImplementation):
    """The reference with other layer classes, its cases changed on the way in and its outcomes on the way out."""

    def __init__(
        self,
        layers: Mapping[str, type[Layer]] | None = None,
        dialect: str = "documented",
        before: Callable[[Case], Case] = lambda case: case,
        change: Callable[[Outcome], Outcome] = lambda outcome: outcome,
        **description: Any,
    ) -> None:
        super().__init__(dialect)
        self.layers, self.before, self.change, self.description = dict(layers or {}), before, change, description

    def describe(self) -> Description:
        return replace(super().describe(), name="broken", **self.description)

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        try:
            net = build(self.before(case), dialect=self.dialect, dtype=dtype, layers=self.layers)
            outcome = ran(net, case, dtype)
        except NetError as error:
            return Refusal(error.stage, str(error), error.layer)
        return self.change(outcome)


def after(kind: str, method: str, hook: Hook) -> dict[str, type[Layer]]:
    """The layer type with ``hook(layer, bottom, top)`` run after its ``forward``, ``backward`` or ``reshape``."""
    original = getattr(REGISTRY[kind], method)

    def wrapped(self: Layer, first: Sequence[Blob], *rest: Any) -> None:
        original(self, first, *rest)
        bottom, top = (rest[-1], first) if method == "backward" else (first, rest[-1])
        hook(self, bottom, top)

    return {kind: type(f"Broken{kind}", (REGISTRY[kind],), {method: wrapped})}


def session(implementation: Any, dtype: str = "float64", dialect: str | None = None) -> Session:
    return Session(implementation, implementation.describe(), dtype, dialect)


def run_family(
    checks: Iterable[Check], implementation: Any, dtypes: Sequence[str] = ("float64",), dialect: str | None = None
) -> list[Verdict]:
    """Every verdict of the checks on the implementation."""
    return [
        verdict
        for check in checks
        for dtype in check.among(dtypes)
        for verdict in execute(check, session(implementation, dtype, dialect))
    ]


def failed(verdicts: Iterable[Verdict], *, must: bool = False) -> set[tuple[str, str]]:
    """The (check, requirement) pairs that failed; with ``must``, those that make a run non-conforming."""
    return {
        (v.check, v.requirement)
        for v in verdicts
        if v.status is Status.FAILED and (not must or v.level.value != "should")
    }


def not_passed(verdicts: Iterable[Verdict]) -> list[str]:
    """What did not pass, in words."""
    return [
        f"{v.check} {v.requirement} {v.dtype}: {v.status.value} {v.reason}"
        for v in verdicts
        if v.status is not Status.PASSED
    ]
