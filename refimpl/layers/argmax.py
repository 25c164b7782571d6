"""ArgMax: the places of the k largest scores (``src/caffe/layers/argmax_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["ArgMax"]


class ArgMax(Layer):
    """Indices of the ``top_k`` largest entries, largest first; of equal ones the one with the higher index comes first.

    With ``axis``: along it, top of the bottom's shape with ``top_k`` there; ``out_max_val`` gives the values instead.
    Without: over each sample flattened, top (N, 1, top_k), or (N, 2, top_k) with ``out_max_val``: indices, then
    values (axes of 1 follow where the bottom has more than 3). No backward, which is refused.
    """

    type = "ArgMax"
    v1_type = "ARGMAX"
    exact_bottoms = 1
    exact_tops = 1
    has_backward = False

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.argmax_param
        self.axis = bottom[0].canonical_axis(param.axis) if param.has("axis") else None
        classes = bottom[0].count_between(1) if self.axis is None else bottom[0].shape[self.axis]
        if not 1 <= param.top_k <= classes:
            raise LayerError(
                f"top_k {param.top_k} is not from 1 to the {classes} entries to choose from", "choose another top_k"
            )

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param, shape = self.param.argmax_param, bottom[0].shape
        if self.axis is not None:
            top[0].reshape(*shape[: self.axis], param.top_k, *shape[self.axis + 1 :])
        else:
            top[0].reshape(shape[0], 2 if param.out_max_val else 1, param.top_k, *(1 for _ in shape[3:]))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param, scores = self.param.argmax_param, bottom[0].wide
        if self.axis is None:
            scores = scores.reshape(bottom[0].shape[0], bottom[0].count_between(1))
        axis = 1 if self.axis is None else self.axis
        rising = np.argsort(value_of(scores), axis=axis, kind="stable")
        best = np.take(np.flip(rising, axis), range(param.top_k), axis=axis)
        values = np.take_along_axis(scores, best, axis)
        if self.axis is not None:
            top[0].data[...] = values if param.out_max_val else best
            return
        rows = top[0].data.reshape(top[0].shape[:3])
        rows[:, 0, :] = best
        if param.out_max_val:
            rows[:, 1, :] = values

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        raise LayerError("ArgMax has no backward pass", "give it no loss_weight, and do without force_backward")
