"""Right kernels for half types, as their authors write them: ten ways to each of four losses, with what each claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refimpl.layers.normalisation import Normalisation
from tests.half_layers import Euclidean, Layer, Softmax, Values

Add = Callable[[Values], Values]
"""Adds up rows along the first axis, in their type."""

FLOATING = ", loss float32 (computed float32)"
ROUNDED = " (computed float32)"
NARROW = ""
WIDER_SUMS = " (computed {0}, accumulated float32)"
DOUBLED = ", loss float32 (computed float64)"
"""What follows the stored type in a claim."""


def running(terms: Values) -> Values:
    total = np.zeros(terms.shape[1:], terms.dtype)
    for term in terms:
        total = (total + term).astype(terms.dtype)
    return total


def backwards(terms: Values) -> Values:
    return running(terms[::-1])


def pairwise(terms: Values) -> Values:
    if len(terms) < 2:
        return running(terms)
    return (pairwise(terms[: len(terms) // 2]) + pairwise(terms[len(terms) // 2 :])).astype(terms.dtype)


def blocked(terms: Values) -> Values:
    """As threads of a block do: each adds up every seventh, then these are added."""
    return pairwise(np.stack([running(terms[i::7]) for i in range(7)]))


def compensated(terms: Values) -> Values:
    """Kahan's."""
    total = lost = np.zeros(terms.shape[1:], terms.dtype)
    for term in terms:
        given = term - lost
        raised = total + given
        lost, total = np.where(np.isfinite(raised), (raised - total) - given, 0).astype(terms.dtype), raised
    return total


def in_float(terms: Values) -> Values:
    return running(terms.astype(np.float32))


class Added(Layer):
    """A layer whose sums are made by ``add``."""

    add: Any = staticmethod(running)

    def added_up(self, terms: Values, axis: int | None = None) -> Values:
        rows = terms.reshape(-1) if axis is None else np.moveaxis(terms, axis, 0)
        return np.asarray(type(self).add(rows)).astype(terms.dtype)


class EuclideanKernel(Added, Euclidean):
    """By the sum of squares, halved at the end."""


class DividedFirst(EuclideanKernel):
    """Each square is divided before they are added up; the gradient is divided after it is weighted."""

    def forward(self, bottom: Sequence[Values]) -> Any:
        super().forward(bottom)
        d = self.difference
        return self.added_up(d * d / (self.count * d.dtype.type(2)))

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        gradient = self.difference * self.wide(top_diff[0]) / self.count
        return gradient, -gradient


class SoftmaxKernel(Added, Softmax):
    """Two passes over a row: its maximum, then the sum of exponentials."""

    def log_of_label(self) -> Values:
        return self.floored(super().log_of_label())

    def floored(self, logarithm: Values) -> Values:
        return np.maximum(logarithm, logarithm.dtype.type(np.log(float(np.finfo(np.float32).tiny))))


class OfQuotient(SoftmaxKernel):
    """The loss is the logarithm of the probability."""

    def log_of_label(self) -> Values:
        with np.errstate(divide="ignore"):
            return self.floored(np.log(self.picked(self.p)))


class OfLogarithm(SoftmaxKernel):
    """The probability is the exponential of its logarithm."""

    def softmax(self) -> Values:
        shifted = self.shifted()
        return np.exp(shifted - np.log(self.added_up(np.exp(shifted), -1))[..., None])


class Online(SoftmaxKernel):
    """One pass over a row, block by block: a running maximum, and a sum that is rescaled where it rises."""

    block = 1

    def softmax(self) -> Values:
        largest = np.full(self.x.shape[:-1], -np.inf, self.x.dtype)
        total = np.zeros_like(largest)
        with np.errstate(invalid="ignore"):
            for start in range(0, self.x.shape[-1], self.block):
                block = self.x[..., start : start + self.block]
                most = np.maximum(largest, block.max(-1))
                held = np.where(np.isneginf(most), 0, most)  # nothing but masks so far
                held = held.astype(self.x.dtype)
                total = total * np.exp(largest - held) + self.added_up(np.exp(block - held[..., None]), -1)
                largest = most
            return np.exp(self.x - largest[..., None]) / total[..., None]


class InChunks(Online):
    block = 16


class OfPowersOfTwo(SoftmaxKernel):
    """exp(x) as 2^(x log2 e), as GPUs have it."""

    def softmax(self) -> Values:
        powers = np.exp2(self.shifted() * self.x.dtype.type(np.log2(np.e)))
        return powers / self.added_up(powers, -1)[..., None]


class Sigmoid(Added):
    """1 / (1 + exp(-x)), and max(x, 0) - x t + log(1 + exp(-|x|))."""

    type = "SigmoidCrossEntropyLoss"

    def forward(self, bottom: Sequence[Values]) -> Any:
        self.x, self.t = self.wide(bottom[0]), self.wide(bottom[1]).reshape(bottom[0].shape)
        mode = Normalisation.of(self.param.loss_param, "BATCH_SIZE")
        self.counted = mode.counted(np.trunc(bottom[1].astype(np.float64)).astype(int).reshape(self.x.shape))
        self.divisor = self.x.dtype.type(mode.divisor(len(self.x), self.counted))
        with np.errstate(all="ignore"):
            entries = np.where(np.isfinite(self.x), self.entries(), np.nan)
        return self.added_up(np.where(self.counted, entries, 0).astype(self.x.dtype)) / self.divisor

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        scale = self.wide(top_diff[0]) / self.divisor
        with np.errstate(all="ignore"):
            gradient = np.where(self.counted & (scale != 0), (self.sigmoid() - self.t) * scale, 0)
        return gradient.astype(self.x.dtype), None

    def entries(self) -> Values:
        return np.maximum(self.x, 0) - self.x * self.t + np.log1p(np.exp(-np.abs(self.x)))

    def sigmoid(self) -> Values:
        one = self.x.dtype.type(1)
        return one / (one + np.exp(-self.x))


class OfTanh(Sigmoid):
    def sigmoid(self) -> Values:
        half = self.x.dtype.type(0.5)
        return half * np.tanh(half * self.x) + half


class ByTails(Sigmoid):
    """exp(-|x|) once, for the sigmoid and for the loss, as Caffe writes it."""

    def sigmoid(self) -> Values:
        tail, one = np.exp(-np.abs(self.x)), self.x.dtype.type(1)
        return np.where(self.x < 0, tail, one) / (one + tail)

    def entries(self) -> Values:
        above = (self.x >= 0).astype(self.x.dtype)
        return np.log(self.x.dtype.type(1) + np.exp(-np.abs(self.x))) - self.x * (self.t - above)


class Hinge(Added):
    """max(0, 1 - s x), or its square."""

    type = "HingeLoss"

    def forward(self, bottom: Sequence[Values]) -> Any:
        x = self.wide(bottom[0]).reshape(len(bottom[0]), -1)
        labels = np.trunc(bottom[1].astype(np.float64)).astype(int).ravel()[: len(x)]
        if (labels < 0).any() or (labels >= x.shape[1]).any() or len(labels) < len(x):
            raise ValueError("a label that is no class")
        self.hot = np.arange(x.shape[1]) == labels[:, None]
        self.margins = np.maximum(self.margin(x), 0).astype(x.dtype)
        self.squared = self.param.hinge_loss_param.norm == "L2"
        self.count = x.dtype.type(len(x))
        return self.added_up(self.margins * self.margins if self.squared else self.margins) / self.count

    def margin(self, x: Values) -> Values:
        return x.dtype.type(1) + np.where(self.hot, -x, x)

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        scale = self.wide(top_diff[0]) / self.count
        two = scale.dtype.type(2)
        slope = two * self.margins if self.squared else (self.margins > 0).astype(scale.dtype)
        with np.errstate(all="ignore"):
            gradient = np.where(scale == 0, 0, np.where(self.hot, -slope, slope) * scale)
        return gradient.astype(scale.dtype).reshape(bottom[0].shape), None


class ByProducts(Hinge):
    """With the signs as numbers."""

    def margin(self, x: Values) -> Values:
        one = x.dtype.type(1)
        return one - np.where(self.hot, one, -one) * x


F32, F64 = np.float32, np.float64

Kernel = tuple[type[Layer], Any, Add, str]
"""A way to evaluate a loss, the type computed in (None: that of its bottoms), how it adds up, and its claim."""

_PLAIN: Sequence[tuple[Any, Add, str]] = (
    (F32, running, FLOATING),
    (F32, backwards, ROUNDED),
    (F32, pairwise, FLOATING),
    (F32, blocked, ROUNDED),
    (F32, compensated, FLOATING),
    (F64, pairwise, DOUBLED),
    (None, running, NARROW),
    (None, pairwise, NARROW),
    (None, in_float, WIDER_SUMS),
)


def _ways(*kinds: type[Layer]) -> list[Kernel]:
    """The first kind in every plain way, the others in float and in the stored type."""
    first, *others = kinds
    found: list[Kernel] = [(first, *way) for way in _PLAIN]
    for kind in others:
        found += [(kind, F32, running, FLOATING), (kind, None, running, NARROW)]
    return found


KERNELS: Sequence[Kernel] = (
    *_ways(EuclideanKernel, DividedFirst),
    *_ways(SoftmaxKernel, OfQuotient, OfLogarithm, Online, InChunks, OfPowersOfTwo),
    *_ways(Sigmoid, OfTanh, ByTails),
    *_ways(Hinge, ByProducts),
)
