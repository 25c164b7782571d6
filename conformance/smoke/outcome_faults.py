"""What is wrong with an answer before anybody asks whether its numbers are right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome

__all__ = ["Fault", "faults_of"]

Fault = tuple[str, str]
"""What is wrong, and what to do about it."""

_NEAR = 1e-3
"""How far apart a total and its weighted top may be, relative to it: bookkeeping is looked for, not accuracy."""


def faults_of(outcome: Outcome, case: Case, dtype: str, learned: str, weight: float) -> Iterator[Fault]:
    """Faults of the answer to a net of one loss "loss" with that weight, whose blob ``learned`` is owed a gradient."""
    yield from _types(outcome, dtype)
    yield from _inputs(outcome, case, dtype)
    yield from _gradient(outcome, case, learned)
    yield from _total(outcome, weight)


def _types(outcome: Outcome, dtype: str) -> Iterator[Fault]:
    for part, arrays in (("data", outcome.data), ("diff", outcome.diff)):
        for name, array in arrays.items():
            if array.dtype != dtype:
                yield f"{part}.{name} is {array.dtype}, asked for {dtype}", f"answer in {dtype}, or do not claim it"
                return


def _inputs(outcome: Outcome, case: Case, dtype: str) -> Iterator[Fault]:
    for name, fed in case.inputs.items():
        for part, arrays in (("data", outcome.data), ("diff", outcome.diff)):
            if name in arrays and arrays[name].shape != fed.shape:
                yield (
                    f"{part}.{name} has shape {arrays[name].shape}, the input has {fed.shape}",
                    "report blobs in the shape that they have; reshape an input that comes in another one",
                )
                return
        if name in outcome.data and not np.array_equal(outcome.data[name], fed.astype(dtype), equal_nan=True):
            yield (
                f"data.{name} is {_short(outcome.data[name])} where {_short(fed)} was fed",
                "put the case's inputs into the blobs of their names, whole, NaN and infinities included",
            )


def _gradient(outcome: Outcome, case: Case, learned: str) -> Iterator[Fault]:
    if "backward" not in case.steps:
        return
    held = outcome.param_diff.get(learned, ()) if learned in case.params else (outcome.diff.get(learned),)
    gradient = next((array for array in held if array is not None), None)
    if gradient is None:
        yield f"no gradient of {learned} is reported", "report the diffs of inputs and parameters after a backward"
    elif gradient.size and not np.any(gradient):
        yield (
            f"the gradient of {learned} is all zeros",
            "run backward, honour force_backward: true, and read the diff after it, not before",
        )


def _total(outcome: Outcome, weight: float) -> Iterator[Fault]:
    top = outcome.data.get("loss")
    if top is None or not np.isfinite(top).all():
        return
    whole = float(np.sum(top, dtype=np.float64))
    if abs(outcome.loss - weight * whole) > _NEAR * abs(weight * whole):
        what = "the top, unweighted" if abs(outcome.loss - whole) <= _NEAR * abs(whole) else "neither top nor total"
        yield (
            f"the total is {outcome.loss:g}, the loss's top {whole:g} with loss_weight {weight:g}: this is {what}",
            "`loss` is the net's weighted total, the sum of loss_weight times top",
        )


def _short(array: Array) -> str:
    shown = ", ".join(f"{x:g}" for x in np.asarray(array).ravel()[:4])
    return f"[{shown}{', ...' if np.size(array) > 4 else ''}]"
