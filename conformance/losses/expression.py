"""Expression: a loss with given options in PyTorch's words, as the text of a function's body.

The text speaks of the bottoms by the names that the description gives them, of ``torch`` and of ``torch.nn.functional``
as ``F``. It holds for all shapes that the layer takes; where Caffe keeps a floor under a logarithm, PyTorch has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.dtypes import FLOAT
from refimpl.layer import Layer
from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LayerParameter, LossParameter

__all__ = ["NoExpression", "batch_before", "cross_entropy", "labels", "number", "over", "own"]


class NoExpression(Exception):
    """Why a loss has none with these options."""


def number(value: float) -> str:
    """A float of the proto, in the fewest digits that tell it from the next."""
    return str(FLOAT.numpy.type(value)) if np.isfinite(value) else f'float("{value}")'


def own(param: LayerParameter, layer: type[Layer], name: str) -> Any:
    """A layer's block as its class reads it, all defaults where the net does not have it."""
    kind = layer.messages.get(name)
    return getattr(param, name) if kind is None else param.own.get((name, kind), kind())


def over(given: LossParameter, default: str, answers: str, batch: str = "x.shape[0]", ignores: bool = True) -> str:
    """`` / `` what the sum of the counted entries' losses is divided by; empty for NONE.

    ``answers`` are the labels or targets, ``batch`` what BATCH_SIZE counts; what takes no labels ``ignores`` none.
    """
    norm = Normalisation.of(given, default)
    if norm.mode == "VALID" and norm.ignored is not None and ignores:
        return f" / ({answers}.long() != {norm.ignored}).sum().clamp(min=1)"
    if norm.mode == "PRE_FIXED":
        return f" / {number(max(1.0, getattr(given, 'pre_fixed_normalizer', 1.0)))}"
    return {"BATCH_SIZE": f" / {batch}", "NONE": ""}.get(norm.mode, f" / {answers}.numel()")


def batch_before(axis: int) -> str:
    """What BATCH_SIZE counts where the classes lie along an axis: the positions before it."""
    return "x.shape[0]" if axis == 1 else f"x.shape[:{axis}].numel()"


def labels(axis: int) -> str:
    """The labels, one for each position of scores whose classes lie along an axis."""
    return f"y.long().reshape({'x[:, 0]' if axis == 1 else f'x.select({axis}, 0)'}.shape)"


def cross_entropy(axis: int, ignored: int | None, reduction: str) -> str:
    """The cross entropy of scores whose classes lie along an axis."""
    scores = "x" if axis == 1 else f"x.movedim({axis}, 1)"
    left_out = "" if ignored is None else f", ignore_index={ignored}"
    return f'F.cross_entropy({scores}, {labels(axis)}{left_out}, reduction="{reduction}")'
