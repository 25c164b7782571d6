"""Gather: what an export asks for is all that a judge of its answers runs."""

from __future__ import annotations

from conformance.contract.selection import Planned
from conformance.engine.gather import gather
from conformance.suite import passes


def test_a_batch_after_another_is_exported_alone_too() -> None:
    check = next(check for check in passes.checks() if check.id == "passes/euclidean_loss/alone")
    cases = [case for _, case in gather([Planned(check, "float32")])]
    assert any(case.passes for case in cases)
    assert any(not case.passes for case in cases)
