"""One check, whatever happens to it: every requirement gets a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.check import Check
from conformance.contract.implementation import (
    Crash,
    Description,
    DoesNotStart,
    ImplementationError,
    ProtocolError,
    TimedOut,
    Unsupported,
)
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.execution import execute

REQUIREMENTS = ("hinge_loss.forward", "net.structure", "quirk.hinge-scratch")


def check(run: Callable[[Session], Iterable[Verdict]], **fields: object) -> Check:
    return Check("x/y", "golden", "hinge_loss", REQUIREMENTS, run, **fields)  # type: ignore[arg-type]


def session(**fields: object) -> Session:
    description = Description("x", dtypes=("float32",), **fields)  # type: ignore[arg-type]
    return Session(ReferenceImplementation(), description, "float32")


def passing(session: Session) -> Iterable[Verdict]:
    return [Verdict("x/y", requirement, session.dtype, Status.PASSED) for requirement in REQUIREMENTS]


def raising(error: Exception) -> Callable[[Session], Iterable[Verdict]]:
    def run(session: Session) -> Iterable[Verdict]:
        yield Verdict("x/y", REQUIREMENTS[0], session.dtype, Status.PASSED)
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unsupported("no"), Status.UNSUPPORTED),
        (Crash("no"), Status.CRASHED),
        (TimedOut("no"), Status.TIMED_OUT),
        (ProtocolError("no"), Status.PROTOCOL_ERROR),
        (DoesNotStart("no"), Status.CRASHED),
    ],
)
def test_an_error_of_the_implementation_costs_every_requirement_its_verdict(
    error: ImplementationError, status: Status
) -> None:
    verdicts = execute(check(raising(error)), session())
    assert [verdict.requirement for verdict in verdicts] == list(REQUIREMENTS)
    assert {verdict.status for verdict in verdicts} == {status}
    assert [verdict.level for verdict in verdicts] == [Level.MUST, Level.SHOULD, Level.QUIRK]


def test_the_last_lines_it_wrote_are_kept() -> None:
    verdict = execute(check(raising(Crash("died", "Check failed"))), session())[0]
    assert (verdict.reason, verdict.detail) == ("died", {"stderr": "Check failed"})


def test_an_error_of_the_suite_rises() -> None:
    with pytest.raises(KeyError):
        execute(check(raising(KeyError("ours"))), session())


def test_a_check_of_the_net_is_outside_what_a_layer_claims() -> None:
    verdicts = execute(check(raising(Crash("never run")), needs_net=True), session(capability="layer"))
    assert {(verdict.status, verdict.limit) for verdict in verdicts} == {(Status.UNSUPPORTED, "single layers")}


def test_a_check_without_the_layers_of_an_implementation_is_outside_what_it_claims() -> None:
    asked = check(raising(Crash("never run")), layer_types=("HingeLoss",))
    verdicts = execute(asked, session(capability="layer", layers=("EuclideanLoss",)))
    assert {(verdict.status, verdict.limit) for verdict in verdicts} == {(Status.UNSUPPORTED, "only EuclideanLoss")}


def test_a_net_with_a_layer_that_is_not_claimed_is_outside_the_claim() -> None:
    asked = check(raising(Crash("never run")), layer_types=("HingeLoss", "InnerProduct"))
    verdicts = execute(asked, session(layers=("HingeLoss",)))
    assert {(verdict.status, verdict.limit) for verdict in verdicts} == {(Status.UNSUPPORTED, "only HingeLoss")}


def test_a_layer_earns_no_credit_for_the_net_around_it() -> None:
    asked = check(passing, layer_types=("HingeLoss",))
    verdicts = execute(asked, session(capability="layer", layers=("HingeLoss",)))
    assert [verdict.limit for verdict in verdicts] == ["", "single layers", ""]


def test_a_layer_is_blamed_where_the_net_around_it_fails() -> None:
    def failing(session: Session) -> Iterable[Verdict]:
        return [Verdict("x/y", "net.structure", session.dtype, Status.FAILED)]

    verdicts = execute(check(failing, layer_types=("HingeLoss",)), session(capability="layer", layers=("HingeLoss",)))
    assert [verdict.status for verdict in verdicts] == [Status.FAILED]


def test_a_dtype_that_is_not_computed_is_unsupported() -> None:
    from conformance.fixtures import load

    asked = check(lambda session: [session.run(load("hinge_loss/grid-006").case)])  # type: ignore[list-item]
    verdicts = execute(asked, Session(ReferenceImplementation(), Description("x"), "float64"))
    assert {verdict.status for verdict in verdicts} == {Status.UNSUPPORTED}
