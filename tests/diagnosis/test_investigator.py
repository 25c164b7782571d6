"""Investigator: a mistake that explained one case of a layer is tried on the others, however many there are."""

from __future__ import annotations

import pytest

from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.diagnosis.investigator import Investigator
from conformance.losses import KNOWN
from conformance.mutants import mutants_by_id
from conformance.mutants.mutant import MutantImplementation
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.record.grade import Grade
from conformance.suite.judged import judged

SERVED = ("euclidean_loss.loss-weight",)
CHECK = Check("it", "golden", "euclidean_loss", SERVED, lambda session: [])


def test_a_weight_of_zero_is_explained_by_what_a_weight_of_three_had_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No factor is seen where nothing is owed, and nothing is looked at closely here."""
    monkeypatch.setattr(Investigator, "_may_be_thorough", lambda self, key: False)
    implementation = MutantImplementation(mutants_by_id()["euclidean_loss/gradient-unweighted"])
    session = Session(implementation, implementation.describe(), "float64")
    investigator = Investigator()

    def evidence(weight: float) -> Evidence:
        case = KNOWN["euclidean_loss"].plain.case(f"weight {weight}", weights=(weight,))
        (piece,) = investigator.evidence(CHECK, session, judged(session, case.id, SERVED, case))
        return piece

    assert Cause.WEIGHT_MISSING not in evidence(0.0).causes
    assert evidence(3.0).causes[Cause.WEIGHT_MISSING] is Grade.EXACT
    assert evidence(0.0).causes[Cause.WEIGHT_MISSING] is Grade.EXACT
