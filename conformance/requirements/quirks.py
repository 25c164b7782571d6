"""Requirements on the quirks: an implementation takes one of the two sides, ``quirk.<name>``."""

from __future__ import annotations

from conformance.requirements.requirement import Requirement
from conformance.verdict import Level
from refimpl.dialect import QUIRKS

__all__ = ["QUIRK_REQUIREMENTS"]

QUIRK_REQUIREMENTS = tuple(
    Requirement(f"quirk.{quirk.name}", f"Either {quirk.documented}, or, as in Caffe, {quirk.bvlc}.", Level.QUIRK, quirk.citation)
    for quirk in QUIRKS.values()
)
