"""``direct:tensorflow_losses``: four of Caffe's losses as one writes them with TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from differentiated import Differentiated, Labelled, Targets


def describe() -> dict[str, Any]:
    return {"name": "tensorflow", "version": tf.__version__, "environment": {"numpy": np.__version__}}


class Taped(Differentiated):
    """Differentiated by ``tf.GradientTape``."""

    def differentiated(self, bottom: Sequence[Any]) -> tuple[list[Any], Any]:
        given = [tf.constant(array) for array in bottom]
        leaves = given[: len(self.learned)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaves)
            tops = self.tops(*given)

        def pulled(diffs: Sequence[Any]) -> list[Any]:
            asked = tops[: len(diffs)]
            incoming = [
                tf.reshape(tf.constant(diff, top.dtype), top.shape) for diff, top in zip(diffs, asked, strict=True)
            ]
            return [each.numpy() for each in tape.gradient(asked, leaves, incoming)]

        return [top.numpy() for top in tops], pulled


class Averaged(Taped, Targets):
    def averaged(self, losses: Any) -> Any:
        kept = tf.boolean_mask(losses, self.counted.reshape(losses.shape))
        divisor = self.divisor(int(tf.size(losses)))
        return tf.reduce_mean(kept) if divisor is None else tf.reduce_sum(kept) / divisor


class SoftmaxWithLoss(Averaged, Labelled):
    def __init__(self, param: Any) -> None:
        super().__init__(param)
        self.axis = param.softmax_param.axis

    def tops(self, x: Any, y: Any) -> list[Any]:
        axis, last = self.axis % len(x.shape), len(x.shape) - 1
        order = [*(i for i in range(last + 1) if i != axis), axis]
        logits = tf.reshape(tf.transpose(x, order), (y.shape[0], -1))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(self.counted, y, 0), logits)
        return [self.averaged(losses), tf.nn.softmax(x, axis)]


class SigmoidCrossEntropyLoss(Averaged):
    def tops(self, x: Any, z: Any) -> list[Any]:
        return [self.averaged(tf.nn.sigmoid_cross_entropy_with_logits(tf.reshape(z, x.shape), x))]


class EuclideanLoss(Taped):
    def tops(self, x: Any, z: Any) -> list[Any]:
        return [tf.nn.l2_loss(x - tf.reshape(z, x.shape)) / x.shape[0]]


class HingeLoss(Taped, Labelled):
    def tops(self, x: Any, y: Any) -> list[Any]:
        rows = tf.reshape(x, (x.shape[0], -1))
        margins = tf.nn.relu(1 - rows * tf.one_hot(y, rows.shape[1], 1, -1, dtype=x.dtype))
        return [tf.reduce_sum(margins**2 if self.param.hinge_loss_param.norm == "L2" else margins) / x.shape[0]]
