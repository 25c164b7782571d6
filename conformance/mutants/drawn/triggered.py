"""Triggered mutants: a loss that is right but where a drawn trigger is met."""

from __future__ import annotations

from functools import cache
from random import Random

from conformance.losses import KNOWN
from conformance.mutants.drawn.effects import draw_effect
from conformance.mutants.drawn.triggers import draw_trigger
from conformance.mutants.drawn.wrong import wrong_layer
from conformance.mutants.mutant import Mutant
from conformance.record.cause import Cause

__all__ = ["triggered"]


@cache
def triggered(stem: str, seed: int, number: int) -> Mutant:
    """The mutant of a loss that a seed and a number stand for; ``stands_for`` is the trigger's kind."""
    loss = KNOWN[stem]
    random = Random(f"{stem}/{seed}/{number}")
    trigger, effect = draw_trigger(random, loss), draw_effect(random)
    return Mutant(
        f"{stem}/triggered-{seed}-{number}",
        f"{effect.words}, only where {trigger.words}",
        trigger.kind,
        Cause.NONE,
        {loss.type: wrong_layer(loss.layer, trigger, effect)},
        at_scale=True,
    )
