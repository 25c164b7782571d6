"""Effects: what goes wrong once a trigger is met, from gross to 2^-14."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from conformance.mutants.drawn.situation import Situation

__all__ = ["Effect", "draw_effect"]

Change = Callable[[Any, Any, Situation, int], Any]
"""Of an array, where it is hit (an array of truth values in its shape), the situation, the bottom's index."""


@dataclass(frozen=True)
class Effect:
    """``words`` begin the sentence "... wrong only where"; what is not changed is None."""

    words: str
    loss: Change | None = None
    gradient: Change | None = None


def _scaled(factor: float) -> Change:
    return lambda x, hit, s, i: np.where(hit, x * factor, x)


def _previous_gradient(x: Any, hit: Any, s: Situation, i: int) -> Any:
    held = s.history.gradients.get(i)
    return np.where(hit, held, x) if held is not None and held.shape == x.shape else x


def _previous_loss(x: Any, hit: Any, s: Situation, i: int) -> Any:
    return np.where(hit, s.history.losses[-1], x) if s.history.losses else x


def _one_missing(x: Any, hit: Any, s: Situation, i: int) -> Any:
    places = np.flatnonzero(np.asarray(hit) & (np.asarray(x) != 0))
    changed = np.array(x)
    if places.size:
        changed.ravel()[places[places.size // 2]] = 0
    return changed


def _item_too_many(x: Any, hit: Any, s: Situation, i: int) -> Any:
    return np.where(hit, x * s.items / (s.items + 1), x)


def draw_effect(random: Random) -> Effect:
    """A factor of the loss, of the gradient or of both; a sign, a lost entry, a stale result, a wrong count."""
    size = 2.0 ** -random.randint(0, 14)
    scale = _scaled(1 + random.choice([-1, 1]) * size * 0.75)
    word = f"off by {size * 0.75:.2g} of itself"
    return random.choice(
        [
            Effect(f"the loss is {word}", loss=scale),
            Effect(f"the gradient is {word}", gradient=scale),
            Effect(f"loss and gradient are {word}", loss=scale, gradient=scale),
            Effect("the gradient has the other sign", gradient=_scaled(-1.0)),
            Effect("the gradient is 0", gradient=_scaled(0.0)),
            Effect("one entry of the gradient is lost", gradient=_one_missing),
            Effect("the gradient is that of the pass before", gradient=_previous_gradient),
            Effect("the loss is that of the pass before", loss=_previous_loss),
            Effect("loss and gradient are divided by one item too many", loss=_item_too_many, gradient=_item_too_many),
        ]
    )
