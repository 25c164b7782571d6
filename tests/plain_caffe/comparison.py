"""Comparison: one drawn net, run by both, all blobs and diffs after every step held against each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import refimpl
from tests.plain_caffe.blob import Refused
from tests.plain_caffe.draw import Drawn, draw
from tests.plain_caffe.net import Net

__all__ = ["Result", "compared"]

CLOSE = 1e-9
"""Of the array's largest entry, or of 1: both round differently, and some sums cancel."""


@dataclass
class Result:
    """``end`` is agree, differ, "both refuse at STAGE", or "left out" where Python's own arithmetic gives up."""

    end: str
    differences: list[str] = field(default_factory=list)


def compared(seed: str) -> Result:
    """The two runs of a seed's net."""
    drawn = draw(seed)
    try:
        mine = list(_plain(drawn))
    except (ValueError, OverflowError, ZeroDivisionError):
        return Result("left out")
    theirs = list(_reference(drawn))
    if isinstance(mine[-1], str) or isinstance(theirs[-1], str):
        if mine[-1] == theirs[-1]:
            return Result(f"both refuse at {mine[-1]}")
        return Result("differ", [f"ends: plain {_word(mine[-1])}, reference {_word(theirs[-1])}"])
    found = [
        f"after step {i + 1}, {each}"
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True))
        for each in _differ(a, b)
    ]
    return Result("differ", found) if found else Result("agree")


def _word(state) -> str:
    return f"refuses at {state}" if isinstance(state, str) else "runs"


def _differ(mine: dict, theirs: dict):
    if mine.keys() != theirs.keys():
        yield f"names {sorted(mine.keys() ^ theirs.keys())}"
        return
    for name, a in mine.items():
        b = theirs[name]
        if isinstance(a, np.ndarray):
            scale = max(1.0, np.abs(a[np.isfinite(a)]).max(initial=0.0))
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-9, atol=CLOSE * scale, equal_nan=True):
                yield f"{name}: plain {a.ravel()[:6]}, reference {b.ravel()[:6]}"
        elif a != b:
            yield f"{name}: plain {a}, reference {b}"


def _plain(drawn: Drawn):
    try:
        net = Net(drawn.text)
        for name, arrays in drawn.params.items():
            layer = next(node[1] for node in net.layers if node[0].name == name)
            for blob, array in zip(layer.blobs, arrays, strict=True):
                blob.data[:] = array.ravel()
        loss = 0.0
        for fed, steps, clear in drawn.passes:
            if clear:
                net.clear()
            for name, array in fed.items():
                net.blobs[name].reshape(array.shape)
                net.blobs[name].data[:] = array.ravel()
            for step in steps:
                if step == "forward":
                    loss = net.forward()
                else:
                    net.backward()
                state = {"loss": np.array(loss)}
                for name, blob in net.blobs.items():
                    state[f"{name} data"] = blob.data.reshape(blob.shape).copy()
                    state[f"{name} diff"] = blob.diff.reshape(blob.shape).copy()
                for param, layer, _, _, needed, _ in net.layers:
                    state[f"{param.name} runs backward"] = needed
                    for i, blob in enumerate(layer.blobs):
                        state[f"{param.name}[{i}] diff"] = blob.diff.reshape(blob.shape).copy()
                yield state
    except Refused as refusal:
        yield str(refusal)


def _reference(drawn: Drawn):
    try:
        net = refimpl.Net(drawn.text, dialect="bvlc")
        for name, arrays in drawn.params.items():
            for blob, array in zip(net.params[name], arrays, strict=True):
                blob.data[...] = array.reshape(blob.shape)
        loss = 0.0
        for fed, steps, clear in drawn.passes:
            if clear:
                net.clear_param_diffs()
            for name, array in fed.items():
                net.blobs[name].reshape(*array.shape)
                net.blobs[name].data[...] = array
            for step in steps:
                if step == "forward":
                    loss = net.forward()
                else:
                    net.backward()
                state = {"loss": np.array(loss)}
                for name, blob in net.blobs.items():
                    if name == "(automatic)":
                        continue
                    state[f"{name} data"] = np.array(blob.data)
                    state[f"{name} diff"] = np.array(blob.diff)
                for node in net.layers:
                    state[f"{node.name} runs backward"] = node.need_backward
                    for i, blob in enumerate(node.layer.blobs):
                        state[f"{node.name}[{i}] diff"] = np.array(blob.diff)
                yield state
    except refimpl.NetError as refusal:
        yield "setup" if refusal.stage == "parse" else refusal.stage
