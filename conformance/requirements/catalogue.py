"""The catalogue: every requirement by its id."""

from __future__ import annotations

from conformance.contract.requirement import Requirement
from conformance.requirements.around import AROUND_REQUIREMENTS
from conformance.requirements.contract import CONTRACT_REQUIREMENTS
from conformance.requirements.losses import LOSS_REQUIREMENTS
from conformance.requirements.net import NET_REQUIREMENTS
from conformance.requirements.quirks import QUIRK_REQUIREMENTS
from conformance.requirements.refusals import REFUSAL_REQUIREMENTS
from conformance.requirements.run import RUN_REQUIREMENTS

__all__ = ["CATALOGUE", "Requirement"]

CATALOGUE: dict[str, Requirement] = {
    requirement.id: requirement
    for requirement in (
        *LOSS_REQUIREMENTS,
        *NET_REQUIREMENTS,
        *AROUND_REQUIREMENTS,
        *CONTRACT_REQUIREMENTS,
        *REFUSAL_REQUIREMENTS,
        *RUN_REQUIREMENTS,
        *QUIRK_REQUIREMENTS,
    )
}
