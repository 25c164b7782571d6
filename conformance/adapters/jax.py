"""``jax:MODULE:FUNCTION``: a loss written in JAX, its gradient by `jax.vjp` (docs/guides/kernels.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from conformance.adapters.functions import Pullback, open_function
from conformance.contract.case import Array
from conformance.contract.implementation import Implementation

__all__ = ["open_jax"]


def open_jax(argument: str, timeout: float | None = None) -> Implementation:
    """The function that the argument names (`conformance.adapters.functions.open_function`)."""
    jax.config.update("jax_enable_x64", True)
    return open_function(_Jax(), argument, timeout)


class _Jax:
    name = "jax"
    version = str(jax.__version__)

    def evaluate(
        self, function: Callable[..., Any], given: Sequence[Array], learned: Sequence[int], options: Mapping[str, Any]
    ) -> tuple[Array, Pullback]:
        held = [jnp.asarray(array) for array in given]

        def of_learned(*arrays: Any) -> Any:
            whole = dict(zip(learned, arrays, strict=True))
            return function(*(whole.get(i, array) for i, array in enumerate(held)), **options)

        value, pull = jax.vjp(of_learned, *(held[i] for i in learned))

        def pulled(gradient: Array) -> list[Array]:
            incoming = jnp.asarray(gradient).astype(value.dtype).reshape(value.shape)
            return [np.asarray(each) for each in pull(incoming)]

        return np.asarray(value), pulled
