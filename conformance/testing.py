"""Testing: the suite inside somebody else's pytest, one test per check that their layer has a part in."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.adapters import open_implementation
from conformance.adapters.direct import wrapped
from conformance.contract.check import Check
from conformance.contract.implementation import Description, DoesNotStart, Implementation
from conformance.contract.limits import Limits
from conformance.contract.selection import Planned, Selection
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.execution import execute
from conformance.record.conclusion import is_must
from conformance.requirements import CATALOGUE
from conformance.suite import plan

__all__ = ["conformance_checks"]


def conformance_checks(
    implementation: Any,
    *,
    dialect: str | None = None,
    dtypes: Sequence[str] = (),
    families: Sequence[str] = (),
    layers: Sequence[str] = (),
    timeout: float = 60.0,
) -> Callable[..., None]:
    """A test function, to be bound to a name that pytest collects: ``test_mine = conformance_checks(MyLayer)``.

    ``implementation`` is what ``lossconf run`` takes, or an object as ``direct:`` takes them: a class with forward and
    backward, a mapping from layer types to such classes. It becomes one test per check and dtype, those in which it has
    no part left out. A test fails where a `must` or both sides of a quirk are missed, and is skipped where a must that
    it claims was not decided, or nothing was: a skipped test is no pass. ``dialect``, ``dtypes``, ``families``,
    ``layers`` and ``timeout`` are the options of ``lossconf run``.

    Raises `UsageError` for a name that does not exist, `ValueError` for an object that is no implementation.
    """
    try:
        tested = _UnderTest.of(implementation, dialect, timeout)
    except DoesNotStart as error:
        return _failing(f"{implementation} does not start: {error}", error.detail)
    selection = Selection(tuple(families), tuple(layers), (), tuple(dtypes))
    items = [each for each in plan(selection, tested.description.dtypes) if tested.has_part_in(each.check)]

    @pytest.mark.parametrize("planned", [pytest.param(each, id=f"{each.check.id}-{each.dtype}") for each in items])
    def test_conformance(planned: Planned, request: pytest.FixtureRequest) -> None:
        tested.judge(planned, request.node.user_properties)

    return test_conformance


@dataclass(frozen=True)
class _UnderTest:
    implementation: Implementation
    description: Description
    dialect: str | None
    spec: str

    @classmethod
    def of(cls, implementation: Any, dialect: str | None, timeout: float) -> _UnderTest:
        if isinstance(implementation, str):
            spec, opened = implementation, open_implementation(implementation, dialect, timeout)
        else:
            name = getattr(implementation, "__qualname__", "OBJECT")
            spec = f"direct:{getattr(implementation, '__module__', 'MODULE')}:{name}"
            opened = wrapped(implementation, name)
        atexit.register(opened.close)
        return cls(opened, opened.describe(), dialect, spec)

    def has_part_in(self, check: Check) -> bool:
        return not Limits.of(self.description).of_check(check)

    def judge(self, planned: Planned, properties: list[tuple[str, object]]) -> None:
        """Execute a check, and end the test as its verdicts have it; what is only recommended becomes a property."""
        session = Session(self.implementation, self.description, planned.dtype, self.dialect)
        verdicts = execute(planned.check, session)
        broken = [verdict for verdict in verdicts if verdict.status.breaks]
        failed = [verdict for verdict in broken if is_must(verdict) and not verdict.limit]
        undecided = [v for v in verdicts if is_must(v) and not v.limit and not v.status.decides]
        recommended = [verdict for verdict in broken if verdict.level is Level.SHOULD]
        properties += [("should", f"{verdict.requirement}: {verdict.reason}") for verdict in recommended]
        if failed:
            pytest.fail(
                "\n".join([*map(_failure, failed), f"again: lossconf run {self.spec} --case {planned.check.id}"]), False
            )
        if undecided or not any(verdict.status is Status.PASSED for verdict in verdicts):
            pytest.skip("; ".join(dict.fromkeys(f"{v.status.value}: {v.reason}" for v in undecided or verdicts)))


def _failing(message: str, detail: str) -> Callable[..., None]:
    def test_conformance() -> None:
        pytest.fail(f"{message}\n{detail}".rstrip(), False)

    return test_conformance


def _failure(verdict: Verdict) -> str:
    """A failure in three lines: what is required, what was seen, where Caffe says so."""
    requirement = CATALOGUE[verdict.requirement]
    said = str(verdict.detail.get("stderr", "")).strip()
    lines = [f"{verdict.requirement} {verdict.status.value} ({verdict.check}, {verdict.dtype})", f"  {verdict.reason}"]
    lines += [
        f"  {requirement.statement}",
        f"  [{requirement.citation}]",
        *(f"  | {line}" for line in said.splitlines()),
    ]
    return "\n".join(lines)
