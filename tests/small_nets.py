"""Nets of one layer over inputs, as text and run: what the tests of single layers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from refimpl.net import Net

__all__ = ["blob", "layer", "net_of", "run"]


def blob(name: str, shape: Sequence[int]) -> str:
    dims = " ".join(f"dim: {dim}" for dim in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(kind: str, body: str = "", bottoms: str = "x", tops: str = "t", weight: str = "loss_weight: 2") -> str:
    lines = [f'bottom: "{name}"' for name in bottoms.split()] + [f'top: "{name}" {weight}' for name in tops.split()]
    return f'layer {{ name: "n" type: "{kind}" {" ".join(lines)} {body} }}\n'


def net_of(text: str, inputs: Mapping[str, Any], dtype: Any = "float64", dialect: Any = "documented") -> Net:
    shapes = "".join(blob(name, np.shape(value)) for name, value in inputs.items())
    net = Net("force_backward: true\n" + shapes + text, dialect=dialect, dtype=dtype)
    for name, value in inputs.items():
        net.blobs[name].data[...] = np.asarray(value, dtype=np.float64)
    return net


def run(text: str, inputs: Mapping[str, Any], dtype: Any = "float64", dialect: Any = "documented") -> Net:
    net = net_of(text, inputs, dtype, dialect)
    net.forward()
    net.backward()
    return net
