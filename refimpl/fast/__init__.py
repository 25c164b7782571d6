"""The loss layers on Numba: plain functions from arrays to a loss, with the gradients in the same pass.

There is one function for every module ``refimpl/fast/cpu/*_loss.py``, of that name. Importing this package imports
neither Numba nor a kernel; the first use of a function does, and compiles what its arguments need unless the disk cache
has it. ``docs/fast.md`` has the formulas' accuracy, the cost model, and what is promised of threads.
"""

from __future__ import annotations

import importlib
from typing import Any

from refimpl.fast.parameters import losses_in

__all__ = losses_in(f"{__path__[0]}/cpu")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(importlib.import_module(f"{__name__}.cpu.{name}"), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
