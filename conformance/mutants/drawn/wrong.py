"""A layer class that is wrong where a trigger is met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.mutants.drawn.effects import Change, Effect
from conformance.mutants.drawn.situation import History, Situation
from conformance.mutants.drawn.triggers import Trigger
from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.layer import Layer

__all__ = ["wrong_layer"]

Blobs = Sequence[Blob]


def wrong_layer(layer: type[Layer], trigger: Trigger, effect: Effect) -> type[Layer]:
    """``layer`` with the effect where the trigger is met; right elsewhere, to the last bit."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        ran_last: Any = None

        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.history = History()
            self.beside = False

        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            history, last = self.history, Wrong.ran_last
            self.beside = last is not None and last is not self and last.context is self.context
            Wrong.ran_last = self
            history.forwards += 1
            history.shapes.append(tuple(bottom[0].shape))
            history.answers.append(np.array(value_of(bottom[1].data)))
            right = float(np.asarray(value_of(top[0].data)))
            if effect.loss:
                hit = np.any(trigger.met(Situation(self, bottom, top, history)))
                _write(top[0].data, effect.loss, hit, Situation(self, bottom, top, history), 0)
            history.losses.append(right)

        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            super().backward(top, propagate_down, bottom)
            situation = Situation(self, bottom, top, self.history, propagate_down)
            right = {i: np.array(value_of(bottom[i].diff)) for i, asked in enumerate(propagate_down) if asked}
            if effect.gradient:
                met = trigger.met(situation)
                for i in right:
                    hit = met if np.size(met) in (1, right[i].size) else np.any(met)
                    hit = np.broadcast_to(np.reshape(hit, right[i].shape if np.size(hit) > 1 else ()), right[i].shape)
                    _write(bottom[i].diff, effect.gradient, hit, situation, i)
            self.history.gradients.update(right)
            self.history.backwards += 1

    return Wrong


def _write(held: Any, change: Change, hit: Any, situation: Situation, index: int) -> None:
    if np.any(hit):
        held[...] = change(np.array(value_of(held)), hit, situation, index)
