"""The losses in plain numpy and float64, as their definitions read: what the tests of `refimpl.fast` compare with.

Each function returns the loss and the gradients for a top diff of 1. Labels are integers already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "contrastive",
    "divisor",
    "euclidean",
    "hinge",
    "infogain",
    "l1",
    "multinomial",
    "sigmoid_cross_entropy",
    "sigmoid_focal",
    "smooth_l1",
    "softmax",
    "weighted_euclidean",
    "wing",
]

Array = NDArray[Any]
FLT_MIN = 2.0**-126
FLOOR = float(np.float32(1e-20))


def divisor(mode: str, batch: int, counted: Array) -> float:
    """LossParameter's normaliser; `counted` says of every position whether it counts."""
    return float(max(1, {"VALID": counted.sum(), "FULL": counted.size, "BATCH_SIZE": batch, "NONE": 1}[mode]))


def _probabilities(x: Array, axis: int) -> Array:
    """The softmax with its classes moved to the last axis."""
    x = np.moveaxis(x.astype(np.float64), axis, -1)
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def softmax(x: Array, labels: Array, axis: int, ignore: int | None, mode: str) -> tuple[float, Array, Array]:
    """SoftmaxWithLoss: loss, gradient, probabilities."""
    p = _probabilities(x, axis)
    labels = labels.reshape(p.shape[:-1])
    counted = labels != ignore if ignore is not None else np.ones(labels.shape, bool)
    z = divisor(mode, int(np.prod(x.shape[: axis % x.ndim])), counted)
    chosen = np.eye(p.shape[-1])[np.where(counted, labels, 0)]
    losses = -np.log(np.maximum((p * chosen).sum(-1), FLT_MIN))
    gradient = np.where(counted[..., None], p - chosen, 0.0) / z
    return losses[counted].sum() / z, np.moveaxis(gradient, -1, axis), np.moveaxis(p, -1, axis)


def infogain(
    x: Array, labels: Array, matrix: Array, axis: int, ignore: int | None, mode: str
) -> tuple[float, Array, Array]:
    """InfogainLoss: loss, gradient, probabilities."""
    p = _probabilities(x, axis)
    labels = labels.reshape(p.shape[:-1])
    counted = labels != ignore if ignore is not None else np.ones(labels.shape, bool)
    z = divisor(mode, int(np.prod(x.shape[: axis % x.ndim])), counted)
    weights = matrix.astype(np.float64).reshape(p.shape[-1], -1)[np.where(counted, labels, 0)]
    losses = -(weights * np.log(np.maximum(p, FLOOR))).sum(-1)
    gradient = np.where(counted[..., None], p * weights.sum(-1, keepdims=True) - weights, 0.0) / z
    return losses[counted].sum() / z, np.moveaxis(gradient, -1, axis), np.moveaxis(p, -1, axis)


def sigmoid_cross_entropy(
    x: Array, t: Array, ignore_label: int | None = None, normalization: str = "BATCH_SIZE"
) -> tuple[float, Array]:
    """SigmoidCrossEntropyLoss."""
    counted = np.trunc(t) != ignore_label if ignore_label is not None else np.ones(t.shape, bool)
    z = divisor(normalization, len(x), counted)
    x, t = x.astype(np.float64), t.astype(np.float64)
    losses = np.log1p(np.exp(-np.abs(x))) - x * (t - (x >= 0))
    gradient = np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))) - t
    return losses[counted].sum() / z, np.where(counted, gradient, 0) / z


def euclidean(a: Array, b: Array) -> tuple[float, Array]:
    """EuclideanLoss; the gradient is that of a."""
    d = a.astype(np.float64) - b.astype(np.float64)
    return (d * d).sum() / (2 * len(a)), d / len(a)


def hinge(x: Array, labels: Array, norm: str) -> tuple[float, Array]:
    """HingeLoss."""
    flat = x.astype(np.float64).reshape(len(x), -1)
    sign = np.ones(flat.shape)
    sign[np.arange(len(x)), labels[: len(x)]] = -1
    margin = np.maximum(0, 1 + sign * flat)
    loss = margin.sum() if norm == "L1" else (margin**2).sum()
    gradient = sign * np.sign(margin) if norm == "L1" else 2 * sign * margin
    return loss / len(x), gradient.reshape(x.shape) / len(x)


def multinomial(p: Array, labels: Array) -> tuple[float, Array]:
    """MultinomialLogisticLoss."""
    flat = p.astype(np.float64).reshape(len(p), -1)
    rows = np.arange(len(p))
    chosen = np.maximum(flat[rows, labels], FLOOR)
    gradient = np.zeros(flat.shape)
    gradient[rows, labels] = -1 / chosen / len(p)
    return -np.log(chosen).sum() / len(p), gradient.reshape(p.shape)


def contrastive(a: Array, b: Array, similar: Array, margin: float, legacy: bool) -> tuple[float, Array]:
    """ContrastiveLoss; the gradient is that of a."""
    d = (a.astype(np.float64) - b.astype(np.float64)).reshape(len(a), -1)
    squared = (d * d).sum(1)
    distance = squared if legacy else np.sqrt(squared)
    missing = np.maximum(margin - distance, 0)
    losses = np.where(similar, squared, missing if legacy else missing**2)
    offset = float(a.dtype.type(1e-4))
    push = -(missing > 0).astype(float) if legacy else -missing / (distance + offset)
    gradient = np.where(similar, 1, push)[:, None] * d / len(a)
    return losses.sum() / (2 * len(a)), gradient.reshape(a.shape)


def l1(x: Array, z: Array) -> tuple[float, Array]:
    """L1Loss; the gradient is that of x."""
    d = x.astype(np.float64) - z
    return np.abs(d).sum() / len(x), np.sign(d) / len(x)


def weighted_euclidean(x: Array, z: Array, u: Array | float = 1.0, weight_squared: bool = True) -> tuple[float, Array]:
    """EuclideanLoss with weights; the gradient is that of x."""
    d = x.astype(np.float64) - z
    u = np.asarray(u, np.float64)
    return (u * d * (u * d if weight_squared else d)).sum() / (2 * len(x)), u * d / len(x)


def smooth_l1(
    x: Array, t: Array, u: Array | float = 1.0, v: Array | float = 1.0, sigma: float = 1.0, abssum: bool = True
) -> tuple[float, Array]:
    """SmoothL1Loss; the gradient is that of x."""
    u, v = (np.asarray(weights, np.float64) for weights in (u, v))
    d, s = u * (x.astype(np.float64) - t), float(np.float32(sigma**2))
    each = v * np.where(np.abs(d) < 1 / s, d * d * s / 2, np.abs(d) - 0.5 / s)
    slope = v * np.clip(s * d, -1, 1) * (1 if abssum else u)
    return (np.abs(each) if abssum else each).sum() / len(x), slope / len(x)


def wing(x: Array, t: Array, w: float = 10.0, epsilon: float = 2.0, sign_of_0: float = -1.0) -> tuple[float, Array]:
    """WingLoss."""
    d = x.astype(np.float64) - t
    size, sign = np.abs(d), np.where(d == 0, sign_of_0, np.sign(d))
    each = np.where(size < w, w * np.log1p(size / epsilon), size - w + w * np.log1p(w / epsilon))
    return each.sum() / len(x), np.where(size < w, sign * w / (size + epsilon), sign) / len(x)


def sigmoid_focal(
    x: Array,
    t: Array,
    alpha: float = 0.25,
    gamma: float = 2.0,
    one_alpha: bool = False,
    ignore_label: int | None = None,
    normalization: str = "BATCH_SIZE",
) -> tuple[float, Array]:
    """FocalLoss over sigmoids: the derivative of its definition, factor by factor."""
    counted = np.trunc(t) != ignore_label if ignore_label is not None else np.ones(t.shape, bool)
    z = divisor(normalization, len(x), counted)
    x, t = x.astype(np.float64), t.astype(np.float64)
    s, one = 1 / (1 + np.exp(-x)), np.trunc(t) == 1
    ce = np.log1p(np.exp(-np.abs(x))) - x * (t - (x >= 0))
    rest, share = np.where(one, 1 - s, s), np.where(one, alpha, alpha if one_alpha else 1 - alpha)
    slope = rest**gamma * (s - t) + gamma * rest ** (gamma - 1) * np.where(one, -1, 1) * s * (1 - s) * ce
    return (share * rest**gamma * ce)[counted].sum() / z, np.where(counted, share * slope, 0) / z
