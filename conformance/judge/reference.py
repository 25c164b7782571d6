"""Drive: put a case's inputs into a reference net, and run its passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.contract.case import Case, Pass, forms_by_type
from conformance.contract.outcome import LayerRecord
from refimpl.blob import Blob
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["build", "enter", "records_of", "run_steps"]


def build(case: Case, kind: type[Net] = Net, **options: Any) -> Net:
    """The case's net with the first pass's inputs, parameters and prefilled diffs in place; ``options`` go to ``kind``,
    a `Net`. A ``dialect`` that is but a name has the first of the forms that the case names.

    Raises `NetError` where the net is refused, or the case names what the net does not have.
    """
    dialect = options.pop("dialect", "documented")
    if case.forms and isinstance(dialect, str):
        taken = Dialect.named(dialect).taken
        dialect = Dialect(dialect, taken, forms=forms_by_type(case.forms))
    net = kind(
        case.net, dialect=dialect, phase=case.phase, files=case.files, level=case.level, stages=case.stages, **options
    )
    first = case.sequence[0]
    _feed(net, first, "setup")
    _fill(net, first)
    return net


def run_steps(
    net: Net,
    case: Case,
    forward: Callable[[Net], Any] = Net.forward,
    backward: Callable[[Net, bool], None] = lambda net, last: net.backward(),
    after: Callable[[int, list[Any]], None] = lambda index, trace: None,
) -> list[Any]:
    """Run the steps of all passes; the loss known after each.

    ``backward`` is told whether it is the last step of its pass, ``after`` that a pass has ended: its index, and the
    losses so far. Raises `NetError` where a pass is refused.
    """
    trace: list[Any] = []
    loss: Any = 0.0
    for index, one in enumerate(case.sequence):
        if index > 0:
            enter(net, one)
        for i, step in enumerate(one.steps):
            if step == "forward":
                loss = forward(net)
                for name, value in one.top_diff.items():
                    _blob(net, name).diff[...] = value
            else:
                backward(net, i == len(one.steps) - 1)
            trace.append(loss)
        after(index, trace)
    return trace


def enter(net: Net, one: Pass) -> None:
    """Make of a net that has run what a further pass begins with. Raises `NetError` at stage forward."""
    if one.clear:
        net.clear_param_diffs()
    if _feed(net, one, "forward"):
        net.reshape("forward")
    _fill(net, one)


@np.errstate(over="ignore")
def _feed(net: Net, one: Pass, stage: str) -> bool:
    """Put a pass's inputs and parameters into the net; whether a shape has changed."""
    reshaped = False
    for name, array in one.inputs.items():
        blob = _blob(net, name)
        if blob.shape != array.shape:
            blob.reshape(*array.shape)
            reshaped = True
        blob.data[...] = array
    for layer, arrays in one.params.items():
        if layer not in net.params or len(net.params[layer]) < len(arrays):
            raise NetError(
                f"the case gives {len(arrays)} parameter array(s) that the layer does not have", stage, layer
            )
        for blob, array in zip(net.params[layer], arrays, strict=False):
            if blob.count != array.size:
                raise NetError(
                    f"a parameter of shape {blob.shape} is given an array of shape {array.shape}", stage, layer
                )
            blob.data[...] = array.reshape(blob.shape)
    return reshaped


def _fill(net: Net, one: Pass) -> None:
    for name, value in one.prefill_diff.items():
        _blob(net, name).diff[...] = value


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
