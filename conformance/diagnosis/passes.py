"""Passes: what earlier passes, prefilled diffs and diffs set by hand may have left in an array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.diagnosis.difference import Difference, Values
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
    earlier = _earlier(rejection, difference)
    if earlier is not None and difference.aspect == "backward":
        if difference.is_explained_by(earlier):
            yield Cause.STALE_BUFFER, Grade.EXACT
        if difference.is_explained_by(want + earlier):
            yield Cause.ACCUMULATES, Grade.EXACT
    if case.passes and not any(d.blob.endswith(" after pass 1") for d in rejection.differences):
        yield Cause.STALE_BUFFER, Grade.PATTERN  # the first batch is right, where the answer tells
        if all(d.aspect in ("backward", "parameter") for d in rejection.differences):
            yield Cause.ACCUMULATES, Grade.PATTERN
    rounds = case.steps.count("backward") if not case.passes else 1
    if rounds > 1 and difference.aspect == "backward" and difference.is_explained_by(rounds * want):
        yield Cause.ACCUMULATES, Grade.EXACT
    if rounds > 1 and difference.aspect == "parameter" and difference.is_explained_by(want / rounds):
        yield Cause.ACCUMULATES, Grade.EXACT
    if len(case.steps) > 2 or case.steps[-2:] != ("forward", "backward")[-len(case.steps) :] or _reshaped(rejection):
        yield Cause.STALE_BUFFER, Grade.HINT
    if case.top_diff:
        yield Cause.STALE_BUFFER, Grade.HINT


def _earlier(rejection: Rejection, difference: Difference) -> Values | None:
    """What the same diff held after the pass before, where the answer tells and the shape is the same."""
    states = (*rejection.outcome.passes[: len(rejection.case.passes)], rejection.outcome)
    blob, _, told = difference.blob.partition(" after pass ")
    index = int(told) - 1 if told else len(states) - 1
    held = states[index - 1].diff.get(blob) if index > 0 else None
    return None if held is None or held.shape != difference.want.shape else np.asarray(held, np.float64)


def _reshaped(rejection: Rejection) -> bool:
    """Whether an input has another shape than the net declares."""
    for layer in rejection.net.param.layer:
        shapes = layer.input_param.shape
        for top, shape in zip(layer.top, shapes * len(layer.top) if len(shapes) == 1 else shapes, strict=False):
            if top in rejection.case.inputs and rejection.case.inputs[top].shape != shape.dim:
                return True
    return False
