"""What the ports in this folder share: a loss layer whose tops a framework computes and differentiates.

Nothing that a framework does is corrected: that is what is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from refimpl.layers.normalisation import Normalisation

__all__ = ["Differentiated", "Labelled", "Targets"]

Array = Any


class Differentiated:
    """A layer. A framework's file says what ``tops`` are, in its own arrays, and how they are ``differentiated``."""

    learned: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, param: Any) -> None:
        self.param = param

    def tops(self, *bottom: Any) -> list[Any]:
        raise NotImplementedError

    def differentiated(self, bottom: Sequence[Array]) -> tuple[list[Array], Any]:
        """The tops, and a function from their diffs to the gradients of the bottoms that are learned."""
        raise NotImplementedError

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        tops, self.pull = self.differentiated(bottom)
        return tops

    def backward(self, top_diff: Sequence[Array], bottom: Sequence[Array], propagate_down: Sequence[bool]) -> list[Any]:
        if any(wanted and i not in self.learned for i, wanted in enumerate(propagate_down)):
            raise ValueError("this bottom takes no gradient")
        if not any(propagate_down):
            return [None, None]
        found = dict(zip(self.learned, self.pull(top_diff), strict=True))
        return [found.get(i) if wanted else None for i, wanted in enumerate(propagate_down)]


class Targets(Differentiated):
    """A layer that reads ``loss_param``: which targets it ignores, and what its sum is divided by."""

    learned: ClassVar[tuple[int, ...]] = (0,)
    default_mode: ClassVar[str] = "BATCH_SIZE"
    axis = 1

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        self.mode = Normalisation.of(self.param.loss_param, self.default_mode)
        self.ignored = -(2**31) if self.mode.ignored is None else self.mode.ignored
        with np.errstate(invalid="ignore"):
            self.counted = np.trunc(np.asarray(bottom[1], float)) != self.ignored
        before = self.axis + np.ndim(bottom[0]) if self.axis < 0 else self.axis
        self.outer = float(np.prod(np.shape(bottom[0])[:before]))
        return super().forward(bottom)

    def divisor(self, positions: int) -> float | None:
        """What the sum is divided by; None asks for the framework's own mean over what counts."""
        return {"FULL": float(positions), "BATCH_SIZE": self.outer, "NONE": 1.0}.get(self.mode.mode)


class Labelled(Targets):
    """A layer of scores and labels, which are truncated, and held against the number of classes."""

    default_mode: ClassVar[str] = "VALID"

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        labels = np.trunc(np.asarray(bottom[1], float)).astype(np.int64).ravel()
        classes = np.size(bottom[0]) // max(labels.size, 1)
        ignored = Normalisation.of(self.param.loss_param, self.default_mode).ignored
        if (((labels < 0) | (labels >= classes)) & (labels != ignored)).any():
            raise ValueError("a label is no class")
        return super().forward([bottom[0], labels])
