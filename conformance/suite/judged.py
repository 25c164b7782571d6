"""Judged: run a case, judge the answer; whatever goes wrong on the way costs this case its verdicts and no other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.implementation import (
    Crash,
    Declined,
    DoesNotStart,
    ImplementationError,
    ProtocolError,
    TimedOut,
    Unsupported,
)
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.fingerprint import Told, fingerprint_of
from conformance.judge.judgement import judgement_of, verdicts_of
from conformance.requirements import CATALOGUE
from conformance.suite.fresh import asked

__all__ = ["Served", "bundle", "failed_to_answer", "judged", "judged_answer", "single"]

Served = Sequence[tuple[Case | Callable[[], Case], Sequence[str]]]
"""Cases, or what makes them, with the requirements that they are about."""

_STATUS: dict[type[ImplementationError], Status] = {
    Crash: Status.CRASHED,
    TimedOut: Status.TIMED_OUT,
    ProtocolError: Status.PROTOCOL_ERROR,
    Unsupported: Status.UNSUPPORTED,
}


def failed_to_answer(check: str, requirements: Sequence[str], dtype: str, error: ImplementationError) -> list[Verdict]:
    """A verdict for each requirement that an implementation's failure to answer leaves open."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), Status.CRASHED)
    return [
        Verdict(
            check,
            name,
            dtype,
            status,
            CATALOGUE[name].level,
            reason=error.reason,
            detail={"stderr": error.detail} if error.detail else {},
            limit=error.limit if isinstance(error, Declined) else "",
        )
        for name in requirements
    ]


def judged(session: Session, check: str, requirements: Sequence[str], case: Case) -> list[Verdict]:
    """Run the case and judge what comes back; a failure to answer becomes a verdict for each requirement."""
    try:
        return judged_answer(session, check, requirements, session.run(case))
    except DoesNotStart:
        raise
    except ImplementationError as error:
        return failed_to_answer(check, requirements, session.dtype, error)


def judged_answer(
    session: Session, check: str, requirements: Sequence[str], answer: Outcome | Refusal
) -> list[Verdict]:
    """The verdicts on an answer that the session has been given."""
    run = session.run_of(answer)
    judgement = judgement_of(run, session)
    verdicts = verdicts_of(judgement, check, requirements, session.dtype)
    if not judgement.side.forms or not verdicts or session.description.any_forms:
        return verdicts
    known = fingerprint_of(session.implementation, session.dtype)
    told = known.told_by(run.case, answer, session.dtype, session.dialect)
    return [replace(verdicts[0], detail={**verdicts[0].detail, **_detail(told, answer)}), *verdicts[1:]]


def _detail(told: Mapping[str, Told], answer: Outcome | Refusal) -> dict[str, object]:
    """What a report keeps of the forms, by layer type."""
    if not told:
        return {}
    kept: dict[str, object] = {"forms": {kind: list(each.explaining) for kind, each in told.items()}}
    if silent := {kind: list(each.silent) for kind, each in told.items() if each.silent}:
        kept["silent"] = silent
    return {**kept, "refused": True} if isinstance(answer, Refusal) else kept


def single(check_id: str, layer: str, requirements: Sequence[str], case: Case, **fields: object) -> Check:
    """A check that runs and judges one case; its family is the first part of its id."""
    return Check(
        check_id,
        check_id.partition("/")[0],
        layer,
        tuple(requirements),
        lambda session: judged(session, check_id, requirements, asked(case, session)),
        **fields,  # type: ignore[arg-type]
    )


def bundle(check_id: str, layer: str, cases: Served, **fields: object) -> Check:
    """A check that runs many small cases, each with its own verdicts; a case's id is the id of its verdicts.

    ``cases`` holds each with the requirements that it serves. Cases that cost time to make are functions that make
    them, called as the check runs.
    """

    def run(session: Session) -> Iterator[Verdict]:
        for made, requirements in cases:
            case = made if isinstance(made, Case) else made()
            yield from judged(session, case.id, requirements, asked(case, session))

    together = tuple(dict.fromkeys(name for _, requirements in cases for name in requirements))
    return Check(check_id, check_id.partition("/")[0], layer, together, run, **fields)  # type: ignore[arg-type]
