"""Accuracy: how often the label is among the best k (``src/caffe/layers/accuracy_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.arithmetic import like, value_of
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer, pick_label, refuse_labels_outside

__all__ = ["Accuracy"]


class Accuracy(Layer):
    """The share of counted positions whose label is among the ``top_k`` highest scores along ``axis``.

    Bottoms: scores, and one label per position. Top 0: shape (), 0 where nothing counts; top 1, if there is one: the
    same per class, shape (classes,), 0 for classes never seen. ``ignore_label`` positions do not count. A tie counts
    against the label; a score of NaN beats nothing and is beaten by nothing. No backward, which is refused when asked
    for.
    """

    type = "Accuracy"
    exact_bottoms = 2
    min_tops = 1
    max_tops = 2
    has_backward = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        scores, labels = bottom
        top_k = self.param.accuracy_param.top_k
        if labels.count == 0 or top_k > scores.count // labels.count:
            raise LayerError(
                f"top_k {top_k} is more than the classes of scores {scores.shape} for labels {labels.shape}",
                "top_k must be at most the number of classes",
            )
        self.axis = scores.canonical_axis(self.param.accuracy_param.axis)
        positions = scores.shape[: self.axis] + scores.shape[self.axis + 1 :]
        if int(np.prod(positions)) != labels.count:
            raise LayerError(
                f"{labels.count} labels for scores of shape {scores.shape} with classes on axis {self.axis}",
                "there must be one label per position",
            )
        self.positions = positions
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(scores.shape[self.axis])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        scores = value_of(bottom[0].wide)
        labels = bottom[1].integers().reshape(self.positions)
        classes = scores.shape[self.axis]
        param = self.param.accuracy_param
        counted = labels != param.ignore_label if param.has("ignore_label") else np.ones(labels.shape, dtype=bool)
        refuse_labels_outside(labels, classes, counted)
        index = np.expand_dims(np.where(counted, labels, 0), self.axis)
        beaten_by = (scores >= np.take_along_axis(scores, index, self.axis)).sum(axis=self.axis) - 1
        correct = counted & (beaten_by < param.top_k)
        top[0].data[...] = _share(top[0].wide, correct.sum(), counted.sum())
        if len(top) > 1:
            chosen = np.moveaxis(pick_label(labels, classes, self.axis), self.axis, 0).reshape(classes, -1)
            top[1].data[...] = _share(top[1].wide, chosen @ correct.ravel(), chosen @ counted.ravel())

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if any(propagate_down):
            raise LayerError("Accuracy has no backward pass", "give it no loss_weight, and do without force_backward")


def _share(kind: Any, part: Any, whole: Any) -> Any:
    """``part / whole``, 0 where the whole is 0."""
    return like(kind, part) / np.maximum(whole, 1)
