"""Passes: what earlier passes, prefilled diffs and diffs set by hand may have left in an array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.diagnosis.difference import Difference
from conformance.diagnosis.rejection import Rejection
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade

__all__ = ["pass_clues"]


def pass_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What repeated passes and prefilled diffs point to."""
    case, want = rejection.case, difference.want
    held = case.prefill_diff.get(difference.blob)
    if held is not None and held != 0 and difference.aspect == "backward":
        if difference.is_explained_by(want + held):
            yield Cause.ACCUMULATES, Grade.EXACT
        elif np.isnan(held) and np.isnan(difference.got[difference.rejected]).all():
            yield Cause.ACCUMULATES, Grade.PATTERN
    if case.passes and not any(d.blob.endswith(" after pass 1") for d in rejection.differences):
        yield Cause.STALE_BUFFER, Grade.PATTERN  # the first batch is right, where the answer tells
    rounds = case.steps.count("backward") if not case.passes else 1
    if rounds > 1 and difference.aspect == "backward" and difference.is_explained_by(rounds * want):
        yield Cause.ACCUMULATES, Grade.EXACT
    if rounds > 1 and difference.aspect == "parameter" and difference.is_explained_by(want / rounds):
        yield Cause.ACCUMULATES, Grade.EXACT
    if len(case.steps) > 2 or case.steps[-2:] != ("forward", "backward")[-len(case.steps) :] or _reshaped(rejection):
        yield Cause.STALE_BUFFER, Grade.HINT
    if case.top_diff:
        yield Cause.STALE_BUFFER, Grade.HINT


def _reshaped(rejection: Rejection) -> bool:
    """Whether an input has another shape than the net declares."""
    for layer in rejection.net.param.layer:
        shapes = layer.input_param.shape
        for top, shape in zip(layer.top, shapes * len(layer.top) if len(shapes) == 1 else shapes, strict=False):
            if top in rejection.case.inputs and rejection.case.inputs[top].shape != shape.dim:
                return True
    return False
