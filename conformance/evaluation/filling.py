"""Filling: what stands in a net's inputs and learnable arrays before it is computed, and where each came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conformance.contract.errors import UsageError, unknown
from refimpl.filler import drawn

if TYPE_CHECKING:
    from conformance.contract.case import Array
    from refimpl.blob import Blob
    from refimpl.messages import FillerParameter
    from refimpl.net import Net

__all__ = ["Source", "fill", "fill_learnable", "learnable", "refuse_missing"]

_SAID = {"uniform": ("min", "max"), "gaussian": ("mean", "std", "sparse"), "xavier": ("variance_norm",)}
_SAID["msra"] = _SAID["xavier"]


@dataclass(frozen=True)
class Source:
    """Arrays by name, and the file that they are from; None where no file was given."""

    path: Path | None
    arrays: Mapping[str, Array]


def refuse_missing(inputs: Mapping[str, tuple[int, ...] | None], given: Source) -> None:
    """Raise `UsageError` for inputs, by name and shape if that is known, that are not given."""
    missing = [f"{name!r}{'' if shape is None else f' of shape {shape}'}" for name, shape in inputs.items()]
    missing = [said for said, name in zip(missing, inputs, strict=True) if name not in given.arrays]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        where = f"not in {given.path}" if given.path else "not given: --inputs FILE.npz has an array for each"
        raise UsageError(f"the input{plural} {', '.join(missing)} {'are' if plural else 'is'} {where}")


def learnable(net: Net) -> dict[str, Blob]:
    """``LAYER[I]`` -> the blob, but for those that are a given blob of the net themselves."""
    given = {id(blob) for blob in net.blobs.values()}
    return {
        f"{layer}[{i}]": blob
        for layer, blobs in net.params.items()
        for i, blob in enumerate(blobs)
        if id(blob) not in given
    }


def fill(net: Net, given: Source) -> None:
    """Put the arrays into inputs and learnable blobs. Raises `UsageError` for one too many, or an input too few."""
    inputs = {top: net.blobs[top] for node in net.layers if node.type == "Input" for top in node.tops}
    refuse_missing({name: blob.shape for name, blob in inputs.items()}, given)
    parameters = learnable(net)
    for name, array in given.arrays.items():
        if name in inputs:
            if inputs[name].shape != array.shape:
                inputs[name].reshape(*array.shape)
            inputs[name].data[...] = array
        elif name in parameters:
            if parameters[name].shape != array.shape:
                raise UsageError(f"{given.path}: {name} has shape {array.shape} where {parameters[name].shape} belongs")
            parameters[name].data[...] = array
        else:
            raise UsageError(f"{given.path}: {unknown('input or learnable array', name, [*inputs, *parameters])}")


def fill_learnable(net: Net, given: Source, weights: Source | None, seed: int | None) -> dict[str, str]:
    """Fill the learnable arrays that ``given`` does not hold: from ``weights`` by name, as Caffe copies trained layers;
    else as their fillers say, random ones drawn from ``seed``. What each holds then, in words, by its name.

    Raises `UsageError` where a file fits no layer or has another shape, and where a random filler has no seed.
    """
    arrays = learnable(net)
    trained = weights.arrays if weights else {}
    if weights:
        _refuse_misfits(arrays, given, weights)
    rng = np.random.default_rng(seed)
    said: dict[str, str] = {}
    for name, blob in arrays.items():
        owner = next((other for other in said if np.shares_memory(arrays[other].data, blob.data)), None)
        values = drawn(blob.filler, blob.shape, rng) if blob.filler is not None else None
        if name in given.arrays:
            said[name] = f"from {given.path}"
        elif weights and name in trained:
            blob.data[...] = _fitting(name, trained[name], blob, weights)
            said[name] = f"from {weights.path}"
        elif owner is not None:
            said[name] = f"shared with {owner}"
        elif blob.filler is None:
            said[name] = "by its filler"
        elif seed is None:
            raise UsageError(
                f"{name} has a random filler, {blob.filler.type}: give --weights, an array {name} in --inputs, or "
                "--seed N to draw it"
            )
        else:
            blob.data[...] = values
            said[name] = f"drawn, {_words(blob.filler)}, seed {seed}"
    return said


def _refuse_misfits(arrays: Mapping[str, Blob], given: Source, weights: Source) -> None:
    """A layer that is in the file has as many arrays there as in the net, and some layer is in both."""
    trained, here = Counter(filter(None, map(_layer, weights.arrays))), Counter(map(_layer, arrays))
    if not here:
        raise UsageError(f"{weights.path}: no layer that is computed has weights to fill")
    if not trained.keys() & here.keys():
        raise UsageError(f"{weights.path}: {unknown('layer with weights', next(iter(here)), sorted(trained))}")
    for name in (arrays.keys() ^ weights.arrays.keys()) - given.arrays.keys():
        layer = _layer(name)
        if layer in trained and layer in here:
            raise UsageError(
                f"{weights.path}: layer {layer!r} has {trained[layer]} array(s) there and {here[layer]} in the net"
            )


def _layer(name: str) -> str:
    return name.rpartition("[")[0]


def _fitting(name: str, array: Array, blob: Blob, weights: Source) -> Array:
    """The array in the blob's shape; old files give every array four axes."""
    if array.shape not in (blob.shape, (*[1] * (4 - len(blob.shape)), *blob.shape)):
        raise UsageError(f"{weights.path}: {name} has shape {array.shape} where {blob.shape} belongs")
    return array.reshape(blob.shape)


def _words(filler: FillerParameter) -> str:
    options = [f"{name} {getattr(filler, name)}" for name in _SAID.get(filler.type, ()) if filler.has(name)]
    return " ".join([filler.type, *options])
