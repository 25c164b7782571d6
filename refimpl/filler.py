"""What a learnable blob holds before a case sets it (``include/caffe/filler.hpp``)."""

from __future__ import annotations

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.messages import FillerParameter

__all__ = ["fill_value", "filled", "initial_value"]

_RANDOM = ("uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear")


def filled(blob: Blob, value: float) -> Blob:
    """The blob, holding ``value`` everywhere. Raises `LayerError` for an empty blob, as fillers do."""
    if blob.count == 0:
        raise LayerError(f"a blob of shape {blob.shape} is empty and cannot be filled", "no dimension may be 0")
    blob.data[...] = value
    return blob


def fill_value(filler: FillerParameter) -> float:
    """The value of a constant filler. Raises `LayerError` for the others: the net does not define what they give."""
    if filler.type != "constant":
        raise LayerError(
            f"a filler of type {filler.type!r} has no defined values", 'use a filler { type: "constant" value: ... }'
        )
    return filler.value


def initial_value(filler: FillerParameter) -> float:
    """What a learnable blob starts with: a constant filler's value; 0 for random ones, whose values a case sets.

    Raises `LayerError` for a type that Caffe does not know.
    """
    if filler.type in _RANDOM:
        return 0.0
    if filler.type != "constant":
        raise LayerError(f"unknown filler type {filler.type!r}", f"known: constant, {', '.join(_RANDOM)}")
    return filler.value
