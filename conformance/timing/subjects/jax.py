"""``jax``: the losses in jax.numpy, compiled by XLA for the CPU; loss and gradient in one compiled function."""

from __future__ import annotations

from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
import numpy as np

from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, Prepared
from conformance.timing.subjects.equivalent import equivalent

__all__ = ["Jax"]


class Jax:
    """Waits for every result; compiling comes before the clock starts. XLA chooses its own threads."""

    def __init__(self) -> None:
        jax.config.update("jax_enable_x64", True)
        self.device = jax.devices("cpu")[0]

    def about(self) -> About:
        return About("jax", jax.__version__, {"device": str(self.device)})

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        bottoms = {name: jax.device_put(array, self.device) for name, array in problem.arrays().items()}
        if problem.loss.labelled:
            bottoms[problem.answer] = bottoms[problem.answer].astype(jnp.int32)
        learned = [bottoms[name] for name in problem.loss.learned]
        given = {name: array for name, array in bottoms.items() if name not in problem.loss.learned}
        function = equivalent(problem, "jax", jax=jax, jnp=jnp)
        loss = jax.jit(function)
        fused = jax.jit(jax.value_and_grad(function, argnums=tuple(range(len(learned)))))

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
