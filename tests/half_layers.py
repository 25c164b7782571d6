"""Losses as their formulas stand, in whatever type their bottoms are of: every operation is rounded to that type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.layers.normalisation import Normalisation

Values = NDArray[Any]


class Layer:
    """What they share: the type that is computed in, that of the bottoms unless a subclass has another."""

    computed: Any = None

    def __init__(self, param: Any) -> None:
        self.param = param

    def wide(self, array: Values) -> Values:
        return array.astype(self.computed or array.dtype)

    def added_up(self, terms: Values, axis: int | None = None) -> Values:
        """A running sum, each partial sum in the terms' type."""
        rows = terms.reshape(-1) if axis is None else np.moveaxis(terms, axis, 0)
        total = np.zeros(rows.shape[1:], terms.dtype)
        for row in rows:
            total = (total + row).astype(terms.dtype)
        return total


class Euclidean(Layer):
    type = "EuclideanLoss"

    def forward(self, bottom: Sequence[Values]) -> Any:
        a, b = map(self.wide, bottom)
        self.difference, self.count = a - b.reshape(a.shape), a.dtype.type(len(a))
        return self.added_up(self.difference * self.difference) / self.count / a.dtype.type(2)

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        scale = self.wide(top_diff[0]) / self.count
        return scale * self.difference, -scale * self.difference


class Softmax(Layer):
    """With ignored labels and every normalization, along any axis."""

    type = "SoftmaxWithLoss"

    def forward(self, bottom: Sequence[Values]) -> Any:
        x, axis = self.wide(bottom[0]), self.param.softmax_param.axis % bottom[0].ndim
        mode = Normalisation.of(self.param.loss_param, "VALID")
        self.x = np.moveaxis(x, axis, -1)
        labels = np.trunc(bottom[1].astype(np.float64)).astype(int).reshape(self.x.shape[:-1])
        self.counted, self.axis = mode.counted(labels), axis
        self.labels = np.where(self.counted, labels, 0)
        if (self.labels < 0).any() or (self.labels >= self.x.shape[-1]).any():
            raise ValueError("a label that is no class")
        self.divisor = x.dtype.type(mode.divisor(int(np.prod(x.shape[:axis])), self.counted))
        self.p = self.softmax()
        losses = np.where(self.counted, -self.log_of_label(), x.dtype.type(0))
        loss = self.added_up(losses) / self.divisor
        return (loss, np.moveaxis(self.p, -1, axis))

    def shifted(self) -> Values:
        return self.x - np.max(self.x, -1, keepdims=True)

    def softmax(self) -> Values:
        powers = np.exp(self.shifted())
        return powers / self.added_up(powers, -1)[..., None]

    def log_of_label(self) -> Values:
        """The logarithm of the label's probability, by way of the sum of the exponentials."""
        shifted = self.shifted()
        return self.picked(shifted) - np.log(self.added_up(np.exp(shifted), -1))

    def picked(self, values: Values) -> Values:
        return np.take_along_axis(values, self.labels[..., None], -1)[..., 0]

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        if len(top_diff) > 1 and np.any(top_diff[1] != 0):
            raise NotImplementedError("no gradient through the second top")
        hot = (np.arange(self.x.shape[-1]) == self.labels[..., None]).astype(self.x.dtype)
        scale = self.wide(top_diff[0]) / self.divisor
        gradient = np.where(self.counted[..., None], (self.p - hot) * scale, self.x.dtype.type(0))
        return (np.moveaxis(gradient, -1, self.axis), None)


class OneElementOff(Euclidean):
    """The first gradient is off by ``share`` of itself."""

    share = 0.0

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        first, second = super().backward(top_diff, bottom, propagate_down)
        first = first.copy()
        first.flat[0] = first.flat[0] * (1 + self.share)
        return first, second
