"""What a learnable blob holds before anybody sets it (``include/caffe/filler.hpp``)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.messages import FillerParameter

__all__ = ["drawn", "fill_value", "filled", "initialised"]

_RANDOM = ("uniform", "gaussian", "positive_unitball", "xavier", "msra")


def filled(blob: Blob, value: float | NDArray[np.float64]) -> Blob:
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


def initialised(blob: Blob, filler: FillerParameter) -> Blob:
    """The learnable blob, holding what a constant or bilinear filler says. A random one leaves it zeroed and is kept as
    the blob's ``filler``: a case sets the values, or `drawn` gives some.

    Raises `LayerError` for a type that Caffe does not know, and where the filler does not fit the blob.
    """
    if filler.type in _RANDOM:
        blob.filler = filler
        return filled(blob, 0.0)
    if filler.type == "bilinear":
        return filled(blob, _bilinear(blob.shape))
    if filler.type != "constant":
        raise LayerError(f"unknown filler type {filler.type!r}", f"known: constant, bilinear, {', '.join(_RANDOM)}")
    return filled(blob, filler.value)


def drawn(filler: FillerParameter, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """An array of ``shape`` as the random ``filler`` distributes its entries; not Caffe's own random numbers."""
    if filler.type == "uniform":
        return rng.uniform(filler.min, filler.max, shape)
    if filler.type == "gaussian":
        values = rng.normal(filler.mean, filler.std, shape)
        return values if filler.sparse < 0 else values * (rng.random(shape) < filler.sparse / shape[0])
    if filler.type == "positive_unitball":
        rows = rng.uniform(0.0, 1.0, (shape[0], math.prod(shape) // shape[0]))
        rows /= rows.sum(axis=1, keepdims=True)
        return rows.reshape(shape)
    count = math.prod(shape)
    fan_in, fan_out = count / shape[0], count / shape[1] if len(shape) > 1 else count
    fan = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm]
    if filler.type == "xavier":
        return rng.uniform(-math.sqrt(3 / fan), math.sqrt(3 / fan), shape)
    return rng.normal(0.0, math.sqrt(2 / fan), shape)


def _bilinear(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The kernel of bilinear upsampling, the same for every pair of channels."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise LayerError(f"a bilinear filler does not fit the shape {shape}", "it takes 4 axes, the last two alike")
    half = math.ceil(shape[3] / 2)
    if not half:
        return np.zeros(shape)
    steps = 1 - np.absolute(np.arange(shape[3]) / half - (shape[3] - 1) / (2 * half))
    return np.broadcast_to(steps[:, None] * steps, shape)
