"""LossParameter: which labels count, and what a loss is divided by (``get_normalizer`` in Caffe's loss layers)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.messages import LossParameter

__all__ = ["Normalisation"]


@dataclass(frozen=True)
class Normalisation:
    """A normalisation mode and the label to ignore, if there is one.

    FULL divides by all positions, VALID by those that count, BATCH_SIZE by the batch, NONE by 1; never by less than 1.
    """

    mode: str
    ignored: int | None = None

    @classmethod
    def of(cls, param: LossParameter, default: str) -> Normalisation:
        """What ``loss_param`` asks for.

        ``normalization`` wins over the deprecated ``normalize`` (true: VALID, false: BATCH_SIZE).
        """
        mode = default
        if param.has("normalization"):
            mode = param.normalization
        elif param.has("normalize"):
            mode = "VALID" if param.normalize else "BATCH_SIZE"
        return cls(mode, param.ignore_label if param.has("ignore_label") else None)

    def counted(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where the (truncated) label is not the ignored one; of the labels' shape."""
        return np.ones(labels.shape, bool) if self.ignored is None else labels != self.ignored

    def divisor(self, batch: int, counted: NDArray[np.bool_]) -> float:
        """The number that the sum of the counted positions' losses is divided by; ``batch`` is BATCH_SIZE's."""
        sizes = {"FULL": counted.size, "VALID": int(np.count_nonzero(counted)), "BATCH_SIZE": batch, "NONE": 1}
        return float(max(1, sizes[self.mode]))
