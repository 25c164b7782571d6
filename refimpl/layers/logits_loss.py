"""What SoftmaxWithLoss and InfogainLoss share: a softmax, a label for every position, a normaliser, a second top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer, refuse_labels_outside
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.softmax import softmax

__all__ = ["LogitsLoss"]


class LogitsLoss(LossLayer):
    """A loss of the softmax of bottom 0 along an axis, summed over positions and divided by a normaliser.

    Bottom 0: logits of shape (outer..., classes, inner...). Bottom 1: as many labels as there are positions (outer *
    inner), in any shape that begins with the same dimension. BATCH_SIZE is the product of the outer dimensions. Top
    1, if asked for, is the softmax. The softmax is kept from forward to backward; labels are read in both.
    """

    exact_tops = None
    min_tops = 1
    max_tops = 2

    def softmax_axis(self) -> int:
        """The axis that the parameters name."""
        raise NotImplementedError(self.type)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.normalisation = Normalisation.of(self.param.loss_param, "VALID")
        self.probability = self.context.blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        self.refuse_empty_batch(bottom)
        shape = bottom[0].shape
        self.axis = bottom[0].canonical_axis(self.softmax_axis())
        self.positions = shape[: self.axis] + shape[self.axis + 1 :]
        if bottom[1].count != math.prod(self.positions):
            raise LayerError(
                f"{bottom[1].count} label(s) of shape {bottom[1].shape} for {math.prod(self.positions)} prediction(s): "
                f"logits of shape {shape} with the classes on axis {self.axis}",
                f"one label per position: a label blob of shape {self.positions}, or another axis",
            )
        for blob in (self.probability, *top[1:]):
            blob.reshape(*shape)

    def read_labels(self, bottom: Sequence[Blob]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Every position's label, and whether it counts. Raises `LayerError` for a counted label that is no class."""
        labels = bottom[1].integers().reshape(self.positions)
        counted = self.normalisation.counted(labels)
        refuse_labels_outside(labels, bottom[0].shape[self.axis], counted)
        return np.where(counted, labels, 0), counted

    def divisor(self, counted: NDArray[np.bool_]) -> float:
        return self.normalisation.divisor(math.prod(self.positions[: self.axis]), counted)

    def keep_softmax(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> Any:
        """Compute the softmax, for backward and the second top; as it is before either of them rounds it."""
        probability = softmax(bottom[0].wide, self.axis)
        for blob in (self.probability, *top[1:]):
            blob.data[...] = probability
        return probability

    def second_top_asks(self, top: Sequence[Blob]) -> bool:
        """Whether a second top's diff has anything to send down."""
        return len(top) > 1 and bool(np.any(value_of(top[1].diff) != 0))

    def along_classes(self, x: Any) -> Any:
        """An array over positions, with the class axis as one of length 1."""
        return np.expand_dims(x, self.axis)
