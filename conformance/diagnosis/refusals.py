"""Refusals: what is refused though Caffe computes it, or computed though Caffe refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.contract.case import Case
from conformance.judge.reference import build, run_steps
from conformance.losses import loss_of_type
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.errors import NetError
from refimpl.messages import LayerParameter, NetParameter
from refimpl.prototxt import dump_net, parse_net

__all__ = ["refusal_clues"]


def refusal_clues(case: Case, refused: bool) -> Iterator[Clue]:
    """``refused`` where the answer is the refusal, else the reference's is."""
    yield from _reasons(case, refused)
    yield (Cause.REFUSES if refused else Cause.ACCEPTS), Grade.EXACT


def _reasons(case: Case, refused: bool) -> Iterator[Clue]:
    try:
        net = parse_net(case.net)
    except NetError:
        return
    layers = net.layer
    if case.stages or any(layer.include or layer.exclude for layer in layers):
        yield Cause.WRONG_LAYERS, Grade.EXACT if refused else Grade.PATTERN
    if refused and any(_refused_on_axis_1(case, net, i) for i in range(len(net.layer))):
        yield Cause.AXIS, Grade.EXACT
    labels = [case.inputs[layer.bottom[1]] for layer in layers if _is_labelled(layer, case)]
    if refused and any(np.any(np.nan_to_num(array) % 1) for array in labels):
        yield Cause.TRUNCATION, Grade.EXACT


def _refused_on_axis_1(case: Case, net: NetParameter, index: int) -> bool:
    """Whether a layer names an axis, and Caffe itself would refuse the net if that were axis 1."""
    layer = net.layer[index]
    loss = loss_of_type(layer.type, case.forms)
    name, _, axis = loss.axis_option.partition(".") if loss else ("", "", "")
    if not name or not getattr(layer, name).has(axis):
        return False
    on_axis_1 = replace(layer, **{name: replace(getattr(layer, name), **{axis: 1})})
    altered = replace(net, layer=(*net.layer[:index], on_axis_1, *net.layer[index + 1 :]))
    try:
        run_steps(build(replace(case, net=dump_net(altered))), case)
    except NetError:
        return True
    return False


def _is_labelled(layer: LayerParameter, case: Case) -> bool:
    loss = loss_of_type(layer.type, case.forms)
    return bool(loss and loss.labelled) and len(layer.bottom) > 1 and layer.bottom[1] in case.inputs
