"""Requirement: one sentence about a loss layer or a net that can be false, and who says so."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.contract.verdict import Level

__all__ = ["LAYER", "LOSS_TUTORIAL", "MUST", "NET", "PROTO", "QUIRK", "SHOULD", "Requirement"]

LOSS_TUTORIAL = "docs/tutorial/loss.md"
PROTO = "src/caffe/proto/caffe.proto"
LAYER = "include/caffe/layer.hpp"
NET = "src/caffe/net.cpp"
MUST, SHOULD, QUIRK = Level.MUST, Level.SHOULD, Level.QUIRK


@dataclass(frozen=True)
class Requirement:
    """What must (or should) hold; ``citation`` names a document, field or function of BVLC Caffe 9b89154.

    ``since`` is the version of the suite that first asked for it, "1" for the first.
    """

    id: str
    statement: str
    level: Level
    citation: str
    since: str = "1"
