"""What can be wrong in the layers around a loss: a mutant for each type, since a net's loss depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.mutant import Mutant
from conformance.mutants.slips import Alter, At, Blobs, gradient, loss
from conformance.record.cause import Cause
from refimpl.layer import Layer
from refimpl.layers import REGISTRY

__all__ = ["MUTANTS"]


def _bare(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            if propagate_down[0]:
                bottom[0].diff[...] = top[0].diff.reshape(bottom[0].shape)

    return Wrong


def _pieces_swapped(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            last = top[-1].data.copy()
            if last.shape == top[0].shape:
                top[-1].data[...] = top[0].data
                top[0].data[...] = last
            else:
                top[0].data[...] = np.flip(top[0].data)

    return Wrong


def _unread(block: str, **defaults: Any) -> Alter:
    """Fields of the layer's parameter block that are not read."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def __init__(self, param: Any, context: Any) -> None:
                super().__init__(replace(param, **{block: replace(getattr(param, block), **defaults)}), context)

        return Wrong

    return alter


def _quiet(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            """Leaves the diffs."""

    return Wrong


def _without_bias(layer: type[Layer]) -> type[Layer]:
    def change(y: Any, at: At) -> Any:
        return y - at.layer.blobs[1].wide if len(at.layer.blobs) > 1 else y

    return loss(change)(layer)


def _mean_forgotten(x: Any, at: At) -> Any:
    mean = at.layer.param.reduction_param.operation == "MEAN"
    return x * at.bottom[0].count / max(1, at.top[0].count) if mean else x


def _times_2(x: Any, at: At) -> Any:
    return 2 * x


def _by_columns(x: Any, at: At) -> Any:
    return x.ravel(order="F").reshape(x.shape)


_WRONG: dict[str, tuple[str, str, Cause, Alter]] = {
    "AbsVal": ("sign-lost", "Backward passes the top's diff on as it is.", Cause.SIGN, _bare),
    "Accuracy": (
        "counts-errors",
        "The share of wrong labels, not of right ones.",
        Cause.UNNAMEABLE,
        loss(lambda x, at: 1 - x),
    ),
    "ArgMax": ("from-one", "Indices count from 1.", Cause.LABEL_OFF_BY_ONE, loss(lambda x, at: x + 1)),
    "BNLL": ("slope-forgotten", "Backward lacks the sigmoid.", Cause.UNNAMEABLE, _bare),
    "Bias": ("bottom-doubled", "The top is twice what it should be.", Cause.FACTOR_2, loss(_times_2)),
    "Concat": (
        "gradient-doubled",
        "Each bottom gets twice its part of the gradient.",
        Cause.FACTOR_2,
        gradient(_times_2),
    ),
    "DummyData": ("zeros", "The fillers are not run.", Cause.OPTION_IGNORED, loss(lambda x, at: 0 * x)),
    "ELU": ("slope-forgotten", "Backward lacks the slope.", Cause.UNNAMEABLE, _bare),
    "Eltwise": (
        "coefficients-not-read",
        "Every coefficient is 1.",
        Cause.OPTION_IGNORED,
        _unread("eltwise_param", coeff=()),
    ),
    "Exp": ("base-not-read", "The base is e.", Cause.OPTION_IGNORED, _unread("exp_param", base=-1.0)),
    "Flatten": ("by-columns", "The top is filled in column-major order.", Cause.TRANSPOSED, loss(_by_columns)),
    "InnerProduct": ("bias-forgotten", "The bias is not added.", Cause.OPTION_IGNORED, _without_bias),
    "Log": ("base-not-read", "The base is e.", Cause.OPTION_IGNORED, _unread("log_param", base=-1.0)),
    "Parameter": ("frozen", "The parameter gets no gradient.", Cause.GRADIENT_MISSING, _quiet),
    "Power": ("shift-not-read", "The shift is 0.", Cause.OPTION_IGNORED, _unread("power_param", shift=0.0)),
    "ReLU": ("slope-forgotten", "Backward passes the top's diff on as it is.", Cause.UNNAMEABLE, _bare),
    "Reduction": ("mean-is-sum", "MEAN adds up.", Cause.INNER_SIZE, loss(_mean_forgotten)),
    "Reshape": ("by-columns", "The top is filled in column-major order.", Cause.TRANSPOSED, loss(_by_columns)),
    "Scale": ("gradient-doubled", "Each bottom gets twice its gradient.", Cause.FACTOR_2, gradient(_times_2)),
    "Sigmoid": ("slope-forgotten", "Backward lacks s (1 - s).", Cause.UNNAMEABLE, _bare),
    "Silence": ("leaves-diffs", "Backward leaves its bottoms' diffs.", Cause.STALE_BUFFER, _quiet),
    "Slice": ("pieces-swapped", "The first and the last piece change places.", Cause.WEIGHTS_ORDER, _pieces_swapped),
    "Softmax": ("gradient-bare", "Backward passes the top's diff on as it is.", Cause.UNNAMEABLE, _bare),
    "TanH": ("slope-forgotten", "Backward lacks 1 - y^2.", Cause.UNNAMEABLE, _bare),
}
"""Layer type to the name of a mutant, what is wrong, the cause, and how."""

MUTANTS = tuple(
    Mutant(f"around/{kind}-{name}", f"{kind}: {wrong}", "classic slip", cause, {kind: alter(REGISTRY[kind])})
    for kind, (name, wrong, cause, alter) in _WRONG.items()
)
