"""``jax``: the losses in jax.numpy, compiled by XLA for the CPU; loss and gradient in one compiled function."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, Prepared

__all__ = ["Jax"]

Loss = Callable[..., Any]


class Jax:
    """Waits for every result; compiling comes before the clock starts. XLA chooses its own threads."""

    def __init__(self) -> None:
        jax.config.update("jax_enable_x64", True)
        self.device = jax.devices("cpu")[0]

    def about(self) -> About:
        return About("jax", jax.__version__, {"device": str(self.device)})

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        bottoms = {name: jax.device_put(array, self.device) for name, array in problem.arrays().items()}
        if "y" in bottoms:
            bottoms["y"] = bottoms["y"].astype(jnp.int32)
        learned = [bottoms[name] for name in problem.loss.learned]
        given = {name: array for name, array in bottoms.items() if name not in problem.loss.learned}
        loss = jax.jit(partial(LOSSES[problem.layer], problem))
        fused = jax.jit(jax.value_and_grad(partial(LOSSES[problem.layer], problem), argnums=tuple(range(len(learned)))))

        def answer() -> tuple[float, tuple[Array, ...]]:
            value, gradients = fused(*learned, **given)
            return float(value), tuple(np.asarray(gradient) for gradient in gradients)

        calls: dict[str, Callable[[], object]] = {
            "forward": lambda: loss(*learned, **given).block_until_ready(),
            "both": lambda: jax.block_until_ready(fused(*learned, **given)),
        }
        if "backward" in modes:
            _, back = jax.vjp(lambda *leaves: loss(*leaves, **given), *learned)
            pull = jax.jit(lambda back, weight: back(weight))
            calls["backward"] = lambda: jax.block_until_ready(pull(back, jnp.ones((), problem.dtype)))
        return Prepared(calls, answer, allocates=True)


def _softmax(problem: Problem, x: Any, *, y: Any) -> Any:
    logarithms = jax.nn.log_softmax(x, axis=1)
    counted = y != (-1 if problem.ignore_label is None else problem.ignore_label)
    labels = jnp.expand_dims(jnp.where(counted, y, 0), 1)
    losses = -jnp.squeeze(jnp.take_along_axis(logarithms, labels, axis=1), 1)
    return jnp.where(counted, losses, 0).sum() / counted.sum()


def _infogain(problem: Problem, x: Any, *, y: Any, H: Any) -> Any:
    classes = problem.classes
    logarithms = jnp.moveaxis(jax.nn.log_softmax(x, axis=1), 1, -1)
    counted = y != (-1 if problem.ignore_label is None else problem.ignore_label)
    rows = H.reshape(classes, classes)[jnp.where(counted, y, 0)]
    losses = -(rows * logarithms).sum(-1)
    return jnp.where(counted, losses, 0).sum() / counted.sum()


def _sigmoid(problem: Problem, x: Any, *, t: Any) -> Any:
    losses = jnp.log1p(jnp.exp(-jnp.absolute(x))) - x * (t - (x >= 0))
    counted = jnp.ones_like(x, dtype=bool) if problem.ignore_label is None else t != problem.ignore_label
    return jnp.where(counted, losses, 0).sum() / problem.samples


def _hinge(problem: Problem, x: Any, *, y: Any) -> Any:
    scores = x.reshape(problem.samples, -1)
    signed = jnp.where(jnp.arange(scores.shape[1]) == y[:, None], -scores, scores)
    return jnp.maximum(1 + signed, 0).sum() / problem.samples


def _euclidean(problem: Problem, x: Any, z: Any) -> Any:
    return ((x - z) ** 2).sum() / (2 * problem.samples)


def _contrastive(problem: Problem, x: Any, z: Any, *, s: Any) -> Any:
    squared = ((x - z).reshape(problem.samples, -1) ** 2).sum(1)
    apart = jnp.maximum(1 - jnp.sqrt(squared), 0) ** 2
    return jnp.where(s != 0, squared, apart).sum() / (2 * problem.samples)


def _multinomial(problem: Problem, x: Any, *, y: Any) -> Any:
    chosen = jnp.take_along_axis(x.reshape(problem.samples, -1), y[:, None], axis=1)
    return -jnp.log(chosen).mean()


LOSSES: dict[str, Loss] = {
    "softmax_with_loss": _softmax,
    "infogain_loss": _infogain,
    "sigmoid_cross_entropy_loss": _sigmoid,
    "hinge_loss": _hinge,
    "euclidean_loss": _euclidean,
    "contrastive_loss": _contrastive,
    "multinomial_logistic_loss": _multinomial,
}
