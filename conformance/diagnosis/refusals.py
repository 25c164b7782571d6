"""Refusals: what is refused though Caffe computes it, or computed though Caffe refuses it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.case import Case
from conformance.diagnosis.alterations import LABELLED
from conformance.diagnosis.cause import Cause
from refimpl.errors import NetError
from refimpl.messages import LayerParameter
from refimpl.prototxt import parse_net

__all__ = ["refusal_clues"]

Clue = tuple[Cause, float]


def refusal_clues(case: Case, refused: bool) -> Iterator[Clue]:
    """``refused`` where the answer is the refusal, else the reference's is."""
    yield (Cause.REFUSES if refused else Cause.ACCEPTS), 1.0
    try:
        layers = parse_net(case.net).layer
    except NetError:
        return
    if case.stages or any(layer.include or layer.exclude for layer in layers):
        yield Cause.WRONG_LAYERS, 1.1 if refused else 0.95
    labels = [case.inputs[layer.bottom[1]] for layer in layers if _is_labelled(layer, case)]
    if refused and any(np.any(np.nan_to_num(array) % 1) for array in labels):
        yield Cause.TRUNCATION, 1.05


def _is_labelled(layer: LayerParameter, case: Case) -> bool:
    return layer.type in LABELLED and len(layer.bottom) > 1 and layer.bottom[1] in case.inputs
