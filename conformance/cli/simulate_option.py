"""``--simulate``: numba-cuda without a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from conformance.contract.errors import UsageError

__all__ = ["simulate_option"]

GPU = "numba-cuda"


def simulate_option(function: Callable[..., int]) -> Callable[..., int]:
    """Add ``--simulate[=ORDER]``; it is written behind IMPLEMENTATION."""

    @click.option(
        "--simulate",
        "order",
        is_flag=False,
        flag_value="",
        metavar="[ORDER]",
        help=f"Run {GPU} on a simulator, its threads forward, in reverse, shuffled, or shuffled by a number.",
    )
    @functools.wraps(function)
    def wrapped(implementation: str, order: str | None, **others: Any) -> int:
        if order is None:
            return function(implementation=implementation, **others)
        if implementation != GPU:
            raise UsageError(f"--simulate is for {GPU}, and {implementation!r} is none")
        option = f"--simulate={order}" if order else "--simulate"
        return function(implementation=f"{implementation} {option}", **others)

    return wrapped
