"""Execution: one check of the suite on one implementation in one dtype, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from conformance.check import Check
from conformance.implementation import Crash, Description, ImplementationError, ProtocolError, TimedOut, Unsupported
from conformance.requirements import CATALOGUE
from conformance.session import Session
from conformance.verdict import Level, Status, Verdict

__all__ = ["execute", "inapplicable", "level_of", "verdicts_for_all"]

_STATUS: tuple[tuple[type[ImplementationError], Status], ...] = (
    (Unsupported, Status.UNSUPPORTED),
    (TimedOut, Status.TIMED_OUT),
    (ProtocolError, Status.PROTOCOL_ERROR),
    (Crash, Status.CRASHED),
)


def execute(check: Check, session: Session) -> list[Verdict]:
    """The check's verdicts. What the implementation raises costs each requirement its verdict; anything else is our own fault and rises."""
    excused = inapplicable(check, session.description)
    if excused is not None:
        return verdicts_for_all(check, session.dtype, *excused)
    try:
        verdicts = list(check.run(session))
    except ImplementationError as error:
        verdicts = verdicts_for_all(check, session.dtype, _status_of(error), error.reason, error.detail)
    return [replace(v, seconds=session.seconds) if v.seconds is None else v for v in verdicts]


def inapplicable(check: Check, description: Description) -> tuple[Status, str] | None:
    """Why an implementation of this description need not be asked, if that is so: a status and the reason."""
    if description.capability == "layer":
        if check.needs_net:
            return Status.NOT_APPLICABLE, "about the net; the implementation computes single layers"
        if description.layers and not set(description.layers) & set(check.layer_types):
            return Status.NOT_APPLICABLE, "the net holds none of the implementation's layers"
    elif description.layers:
        missing = sorted(set(check.layer_types) - set(description.layers))
        if missing:
            return Status.UNSUPPORTED, f"the implementation does not claim {', '.join(missing)}"
    return None


def verdicts_for_all(check: Check, dtype: str, status: Status, reason: str, detail: str = "") -> list[Verdict]:
    """The same verdict on every requirement of a check."""
    return [
        Verdict(check.id, name, dtype, status, level_of(name), reason=reason, detail={"output": detail} if detail else {})
        for name in check.requirements
    ]


def _status_of(error: ImplementationError) -> Status:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), Status.CRASHED)


def level_of(requirement: str) -> Level:
    """A requirement's level; `must` for one that the catalogue lacks, so that no spelling mistake hides a failure."""
    return CATALOGUE[requirement].level if requirement in CATALOGUE else Level.MUST
