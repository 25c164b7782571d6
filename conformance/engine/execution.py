"""Execution: one check of the suite on one implementation in one dtype, whatever happens to it."""

from __future__ import annotations

from dataclasses import replace

from conformance.contract.check import Check
from conformance.contract.implementation import Description, ImplementationError
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.losses import KNOWN
from conformance.requirements import CATALOGUE
from conformance.suite.judged import failed_to_answer

__all__ = ["execute", "inapplicable", "level_of"]

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


def execute(check: Check, session: Session) -> list[Verdict]:
    """The check's verdicts; an `ImplementationError` costs each requirement its verdict, the rest rises."""
    excused = inapplicable(check, session.description)
    if excused is not None:
        status, reason = excused
        return [Verdict(check.id, n, session.dtype, status, level_of(n), reason=reason) for n in check.requirements]
    try:
        verdicts = list(check.run(session))
    except ImplementationError as error:
        verdicts = failed_to_answer(check.id, check.requirements, session.dtype, error)
    verdicts = [_credited(verdict, session.description) for verdict in verdicts]
    single = {verdict.check for verdict in verdicts} == {check.id}  # a bundle's time cannot be told apart by case
    return [replace(verdict, seconds=session.seconds) for verdict in verdicts] if single else verdicts


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


def _credited(verdict: Verdict, description: Description) -> Verdict:
    """The verdict, not applicable where a layer did not earn it: the net around it is the reference's."""
    if description.capability != "layer" or verdict.status not in (Status.PASSED, Status.INCONCLUSIVE):
        return verdict
    subject, _, facet = verdict.requirement.partition(".")
    of_others = {
        "net": facet in _OF_THE_NET_ALONE,
        "layer": facet not in description.layers,
        "refusal": False,
    }.get(subject, subject in KNOWN and bool(description.layers) and KNOWN[subject].type not in description.layers)
    reason = "the reference's part of the net"
    return replace(verdict, status=Status.NOT_APPLICABLE, headroom=None, reason=reason) if of_others else verdict


def level_of(requirement: str) -> Level:
    """A requirement's level; `must` for one that the catalogue lacks, so that no spelling mistake hides a failure."""
    return CATALOGUE[requirement].level if requirement in CATALOGUE else Level.MUST
