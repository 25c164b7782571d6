"""Execution: one check of the suite on one implementation in one dtype, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from conformance.contract.check import Check
from conformance.contract.implementation import Declined, ImplementationError
from conformance.contract.limits import SINGLE, Limits
from conformance.contract.outcome import Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.patience import Patience
from conformance.judge.judgement import judgement_of
from conformance.losses import KNOWN
from conformance.requirements import CATALOGUE
from conformance.suite.judged import failed_to_answer

__all__ = ["execute", "level_of"]

_OF_THE_NET_ALONE = frozenset(
    {
        "automatic-top",
        "force-backward",
        "in-place",
        "inputs",
        "learning-rate-zero",
        "parameter-gradient",
        "phase",
        "rules",
    }
    | {"shared-parameters", "sibling-weights", "split", "structure", "total-loss", "v1-format", "who-runs-backward"}
)
"""Facets of requirements on the net in which a single layer has no part."""


def execute(check: Check, session: Session, patience: Patience | None = None) -> list[Verdict]:
    """The check's verdicts, as many as there is ``patience`` for; an `ImplementationError` costs each requirement its
    verdict, the rest rises."""
    limits, borne = session.limits, patience or Patience()
    try:
        if limit := limits.of_check(check):
            raise Declined(limit)
        verdicts = list(borne.of(_claimed(_owed(verdict, session), limits) for verdict in check.run(session)))
    except ImplementationError as error:
        failed = failed_to_answer(check.id, check.requirements, session.dtype, error)
        verdicts = list(borne.of(_claimed(verdict, limits) for verdict in failed))
    verdicts = _one_each(verdicts)
    single = {verdict.check for verdict in verdicts} == {check.id}  # a bundle's time cannot be told apart by case
    return [replace(verdict, seconds=session.seconds) for verdict in verdicts] if single else verdicts


def _owed(verdict: Verdict, session: Session) -> Verdict:
    """The verdict; of a net that a form of its type refuses nothing is owed but that refusal, by no relation either."""
    if verdict.status is not Status.FAILED:
        return verdict
    runs = (run for run in session.runs if run.case.id == verdict.check and isinstance(run.answer, Refusal))
    run = next(runs, None)
    if run is None:
        return verdict
    judgement = judgement_of(run, session)
    if judgement.refusal is None or not judgement.side.forms or not judgement.conforms:
        return verdict
    reason = f"refused, as {', '.join(judgement.side.forms)} does"
    return replace(verdict, status=Status.NOT_APPLICABLE, reason=reason)


def _one_each(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each case and requirement: the worst of those that a check has given."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        known = found.setdefault((verdict.check, verdict.requirement), verdict)
        if _rank(verdict) < _rank(known):
            found[verdict.check, verdict.requirement] = verdict
    return list(found.values())


def _rank(verdict: Verdict) -> int:
    """From what is broken over what is open to what passed."""
    return 0 if verdict.status.breaks else 2 if verdict.status is Status.PASSED else 1


def _claimed(verdict: Verdict, limits: Limits) -> Verdict:
    """The verdict; where its requirement is declined, or a layer did not earn it, for the net around it is the
    reference's, it is outside the limits."""
    limit = limits.of_requirement(verdict.requirement)
    if not limit and limits.capability == "layer" and verdict.status in (Status.PASSED, Status.INCONCLUSIVE):
        limit = _of_others(verdict.requirement, limits)
    if not limit or verdict.limit:
        return verdict
    reason = f"outside what is claimed: {limit}"
    return replace(verdict, status=Status.UNSUPPORTED, headroom=None, reason=reason, limit=limit)


def _of_others(requirement: str, limits: Limits) -> str:
    """The limit that keeps a layer from having a part in a requirement, or nothing."""
    subject, _, facet = requirement.partition(".")
    if subject == "net":
        return SINGLE if facet in _OF_THE_NET_ALONE else ""
    if subject == "layer":
        return "" if facet in limits.layers else SINGLE
    loss = KNOWN.get(subject)
    foreign = loss is not None and limits.layers and not limits.has(loss.type, loss.forms)
    return limits.types if foreign else ""


def level_of(requirement: str) -> Level:
    """A requirement's level; `must` for one that the catalogue lacks, so that no spelling mistake hides a failure."""
    return CATALOGUE[requirement].level if requirement in CATALOGUE else Level.MUST
