"""``direct:optax_losses``: four of Caffe's losses as one writes them with JAX and Optax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from differentiated import Differentiated, Labelled, Targets

jax.config.update("jax_enable_x64", True)


def describe() -> dict[str, Any]:
    return {"name": "optax", "version": optax.__version__, "environment": {"jax": jax.__version__}}


class Vjp(Differentiated):
    """Differentiated by ``jax.vjp``."""

    def differentiated(self, bottom: Sequence[Any]) -> tuple[list[Any], Any]:
        given = [jnp.asarray(array) for array in bottom]

        def of_learned(*some: Any) -> Any:
            return self.tops(*some, *given[len(some) :])

        tops, pull = jax.vjp(of_learned, *given[: len(self.learned)])

        def pulled(diffs: Sequence[Any]) -> list[Any]:
            incoming = [jnp.asarray(diff, top.dtype).reshape(top.shape) for diff, top in zip(diffs, tops, strict=False)]
            return [np.asarray(each) for each in pull([*incoming, *map(jnp.zeros_like, tops[len(incoming) :])])]

        return [np.asarray(top) for top in tops], pulled


class Averaged(Vjp, Targets):
    def averaged(self, losses: Any) -> Any:
        divisor, counted = self.divisor(losses.size), self.counted.reshape(losses.shape)
        return jnp.mean(losses, where=counted) if divisor is None else jnp.sum(losses, where=counted) / divisor


class SoftmaxWithLoss(Averaged, Labelled):
    def __init__(self, param: Any) -> None:
        super().__init__(param)
        self.axis = param.softmax_param.axis

    def tops(self, x: Any, y: Any) -> list[Any]:
        logits = jnp.moveaxis(x, self.axis, -1).reshape(len(y), -1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(self.counted, y, 0))
        return [self.averaged(losses), jax.nn.softmax(x, axis=self.axis)]


class SigmoidCrossEntropyLoss(Averaged):
    def tops(self, x: Any, z: Any) -> list[Any]:
        return [self.averaged(optax.sigmoid_binary_cross_entropy(x, z.reshape(x.shape)))]


class EuclideanLoss(Vjp):
    def tops(self, x: Any, z: Any) -> list[Any]:
        return [optax.l2_loss(x, z.reshape(x.shape)).sum() / len(x)]


class HingeLoss(Vjp, Labelled):
    def tops(self, x: Any, y: Any) -> list[Any]:
        rows = x.reshape(len(x), -1)
        margins = optax.hinge_loss(rows, 2 * jax.nn.one_hot(y, rows.shape[1], dtype=x.dtype) - 1)
        return [(margins**2 if self.param.hinge_loss_param.norm == "L2" else margins).sum() / len(x)]
