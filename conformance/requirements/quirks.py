"""Requirements on the quirks: an implementation takes one of the two sides, ``quirk.<name>``."""

from __future__ import annotations

from conformance.contract.requirement import QUIRK, Requirement
from refimpl.dialect import QUIRKS

__all__ = ["QUIRK_REQUIREMENTS"]

QUIRK_REQUIREMENTS = tuple(
    Requirement(
        f"quirk.{quirk.name}",
        f"Either, as documented, {quirk.documented}, or, as in Caffe, {quirk.bvlc}.",
        QUIRK,
        quirk.citation,
        since="1" if quirk.numbered else "2",
    )
    for quirk in QUIRKS.values()
)
