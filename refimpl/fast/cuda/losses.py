"""Losses: those that there are kernels for on a GPU, by the module of each."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from refimpl.fast import cpu
from refimpl.fast.cuda.pointwise import module_of
from refimpl.fast.parameters import losses_in

__all__ = ["losses", "module"]


@functools.cache
def losses() -> tuple[str, ...]:
    """The losses that have a module here, or a formula among the kernels for CPUs, in the order of the alphabet."""
    own = losses_in(str(Path(__file__).parent))
    return tuple(sorted({*own, *(stem for stem in losses_in(*cpu.__path__) if hasattr(_on_cpu(stem), "FORMULA"))}))


@functools.cache
def module(stem: str) -> Any:
    """The module of a loss: it has the function, ``backward`` and the kernels. Raises ImportError for another name."""
    if stem in losses_in(str(Path(__file__).parent)):
        return importlib.import_module(f"{__package__}.{stem}")
    if stem not in losses():
        raise ImportError(f"there is no kernel for {stem}")
    return module_of(_on_cpu(stem))


def _on_cpu(stem: str) -> Any:
    return importlib.import_module(f"{cpu.__name__}.{stem}")
