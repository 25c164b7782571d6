"""Drive: put a case's inputs into a reference net, and run its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.contract.case import Case
from conformance.contract.outcome import LayerRecord
from refimpl.blob import Blob
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["build", "records_of", "run_steps"]


def build(case: Case, kind: type[Net] = Net, **options: Any) -> Net:
    """The case's net with inputs, parameters and prefilled diffs in place; ``options`` go to ``kind``, a `Net`.

    Raises `NetError` where the net is refused, or the case names what the net does not have.
    """
    net = kind(case.net, phase=case.phase, files=case.files, level=case.level, stages=case.stages, **options)
    for name, array in case.inputs.items():
        blob = _blob(net, name)
        if blob.shape != array.shape:
            blob.reshape(*array.shape)
        blob.data[...] = array
    for layer, arrays in case.params.items():
        if layer not in net.params or len(net.params[layer]) < len(arrays):
            raise NetError(
                f"the case gives {len(arrays)} parameter array(s) that the layer does not have", "setup", layer
            )
        for blob, array in zip(net.params[layer], arrays, strict=False):
            if blob.count != array.size:
                raise NetError(
                    f"a parameter of shape {blob.shape} is given an array of shape {array.shape}", "setup", layer
                )
            blob.data[...] = array.reshape(blob.shape)
    for name, value in case.prefill_diff.items():
        _blob(net, name).diff[...] = value
    return net


def run_steps(
    net: Net,
    case: Case,
    forward: Callable[[Net], Any] = Net.forward,
    backward: Callable[[Net, bool], None] = lambda net, last: net.backward(),
) -> list[Any]:
    """Run the steps; the loss known after each. ``backward`` is told whether it is the last step of all."""
    trace: list[Any] = []
    loss: Any = 0.0
    for i, step in enumerate(case.steps):
        if step == "forward":
            loss = forward(net)
            for name, value in case.top_diff.items():
                _blob(net, name).diff[...] = value
        else:
            backward(net, i == len(case.steps) - 1)
        trace.append(loss)
    return trace


def records_of(net: Net) -> tuple[LayerRecord, ...]:
    """A net's layers after splitting, in an outcome's form."""
    return tuple(
        LayerRecord(n.name, n.type, tuple(n.bottoms), tuple(n.tops), tuple(n.loss_weights), n.need_backward)
        for n in net.layers
    )


def _blob(net: Net, name: str) -> Blob:
    if name not in net.blobs:
        raise NetError(f"the net has no blob {name!r}", "setup", hint=f"it has {', '.join(net.blobs)}")
    return net.blobs[name]
