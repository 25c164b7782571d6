"""Divisor: what a loss is divided by, in the words of its normaliser and, as far as the prototxt tells, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from conformance.audit.meaning import Meaning
from conformance.audit.shapes import UNKNOWN, Size
from conformance.losses.expression import own
from conformance.losses.loss import Loss
from refimpl.messages import LayerParameter

__all__ = ["Divisor", "divisor_of"]

_COUNTED = {
    "FULL": "all {unit}s",
    "VALID": "the {unit}s that count",
    "BATCH_SIZE": "the batch size",
    "NONE": "nothing",
    "PRE_FIXED": "pre_fixed_normalizer",
}


@dataclass(frozen=True)
class Divisor:
    """``words`` are empty where nothing is known of the loss.

    ``number`` is None where the prototxt does not tell; where labels are ignored it is the most that it can be.
    """

    words: str = ""
    number: float | None = None


def divisor_of(layer: LayerParameter, meaning: Meaning, sizes: Sequence[Size], iter_size: int) -> Divisor:
    """What the layer's loss is divided by; ``sizes`` are those of its bottoms, ``iter_size`` the solver's."""
    loss = meaning.loss
    if loss is None:
        return Divisor()
    further = f"; with the solver's iter_size by {iter_size} more" if iter_size > 1 else ""
    if meaning.departs:
        return Divisor(f"what a fork says: {meaning.departs}{further}")
    scores = sizes[0] if sizes else UNKNOWN
    if not loss.default_mode:
        number: float | None = None if scores.batch is None else loss.batches * scores.batch
        words = "the batch size" if loss.batches == 1 else "twice the batch size"
        return Divisor(words + _counted(number, scores) + further, number)
    given = own(layer, loss.layer, "loss_param")
    mode, why = loss.default_mode, "by default"
    if given.has("normalization"):
        mode, why = given.normalization, "asked for"
    elif given.has("normalize"):
        mode, why = ("VALID" if given.normalize else "BATCH_SIZE"), "by normalize"
    words, ignored = _COUNTED[mode].format(unit=loss.counted), ""
    number = _number(loss, layer, mode, scores)
    if mode == "PRE_FIXED":
        number = max(1.0, given.pre_fixed_normalizer) if isfinite(given.pre_fixed_normalizer) else None
    if mode == "VALID" and loss.ignores and given.has("ignore_label"):
        words, ignored = f"{words} (label other than {given.ignore_label})", " at most"
    elif mode == "VALID" and loss.answer.role.by_item:
        words = _COUNTED["FULL"].format(unit=loss.counted)
    counted = "" if mode == "NONE" else _counted(number, scores, ignored)
    return Divisor(f"{words}{counted}: {mode}, {why}{further}", number)


def _counted(number: float | None, scores: Size, ignored: str = "") -> str:
    if number is None:
        return "" if scores.batch is None else f" (batch {scores.batch})"
    batch = " (the batch)" if scores.batch == number else f" (batch {scores.batch})" if scores.batch else ""
    return f",{ignored} {number:g}{batch}"


def _number(loss: Loss, layer: LayerParameter, mode: str, scores: Size) -> float | None:
    if mode == "NONE":
        return 1
    message, _, field = loss.axis_option.partition(".")
    axis = getattr(own(layer, loss.layer, message), field) if loss.axis_option else 1
    if mode == "BATCH_SIZE":
        return scores.before(axis) if loss.axis_option else scores.batch
    return {"position": scores.without(axis), "entry": scores.count, "sample": scores.batch}.get(loss.counted)
