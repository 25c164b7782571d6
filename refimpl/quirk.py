"""Quirk, Departure: what BVLC Caffe does otherwise, each in the file of the layer or part of the net that has it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOSS_TUTORIAL", "PROTO", "Departure", "Quirk"]

LOSS_TUTORIAL = "docs/tutorial/loss.md"
PROTO = "src/caffe/proto/caffe.proto"


@dataclass(frozen=True)
class Quirk:
    """One departure of BVLC Caffe from its documentation: what Caffe does, what is documented, and where either is
    written. ``number`` is its place in lists; those without one come last."""

    name: str
    bvlc: str
    documented: str
    citation: str
    number: int = 1000

    @property
    def numbered(self) -> bool:
        """Whether it has a place in lists, as those of BVLC Caffe have."""
        return self.number < 1000


@dataclass(frozen=True)
class Departure:
    """One region of inputs in which Caffe's gradient formula is not the derivative of the reported loss."""

    name: str
    region: str
    statement: str
    citation: str
