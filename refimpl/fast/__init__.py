"""The seven loss layers on Numba: plain functions from arrays to a loss, with the gradients in the same pass.

Importing this package imports neither Numba nor a kernel; the first use of a function does, and compiles what its
arguments need unless the disk cache has it. ``docs/fast.md`` has the formulas' accuracy, the cost model, and what is
promised of threads.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.fast.cpu.contrastive_loss import contrastive_loss
    from refimpl.fast.cpu.euclidean_loss import euclidean_loss
    from refimpl.fast.cpu.hinge_loss import hinge_loss
    from refimpl.fast.cpu.infogain_loss import infogain_loss
    from refimpl.fast.cpu.multinomial_logistic_loss import multinomial_logistic_loss
    from refimpl.fast.cpu.sigmoid_cross_entropy_loss import sigmoid_cross_entropy_loss
    from refimpl.fast.cpu.softmax_with_loss import softmax_with_loss

__all__ = [
    "contrastive_loss",
    "euclidean_loss",
    "hinge_loss",
    "infogain_loss",
    "multinomial_logistic_loss",
    "sigmoid_cross_entropy_loss",
    "softmax_with_loss",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(importlib.import_module(f"refimpl.fast.cpu.{name}"), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
