"""Trunk: a loss whose learned bottoms are computed, so that gradients are owed without force_backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.losses import Variant
from conformance.losses.nets import layer, source
from conformance.losses.roles import Shape

__all__ = ["WEIGHT", "Trunk", "batch"]

WEIGHT = 2.5
"""The loss_weight of the losses on trunks."""

_BY_ONE = "scale_param { axis: 0 num_axes: 0 }"


def batch(variant: Variant, seed: int) -> dict[str, Array]:
    """A variant's values, every bottom's another for another seed: what a role draws alike for all of them is
    turned."""
    values, others = variant.values(seed), variant.values(seed + 1)
    return {
        name: np.roll(array, seed) if np.array_equal(array, others[name]) else array for name, array in values.items()
    }


@dataclass(frozen=True)
class Trunk:
    """A variant whose learned bottoms are computed, from inputs called ``<bottom>_in``: ids begin with ``prefix``.

    An InnerProduct with the identity as its weights computes them along their last axis, which keeps exact values;
    where it is ``scaled``, a Scale by 1 does, which takes any shape. ``declared`` are the shapes that the net declares
    where they are not those fed, ``asks`` is the loss's propagate_down.
    """

    prefix: str
    variant: Variant
    declared: Mapping[str, Shape] | None = None
    asks: tuple[bool, ...] = ()
    scaled: bool = False

    def net(self, beside: str = "") -> str:
        text = ""
        for name, shape in self.variant.shapes.items():
            learned = name in self.variant.learned
            text += source(f"{name}_in" if learned else name, (self.declared or {}).get(name, shape))
            if learned and self.scaled:
                text += layer(name, "Scale", [f"{name}_in"], options=_BY_ONE)
            elif learned:
                along = f" axis: {len(shape) - 1}" if len(shape) > 2 else ""
                options = f"inner_product_param {{ num_output: {shape[-1]}{along} }}"
                text += layer(name, "InnerProduct", [f"{name}_in"], options=options)
        asks = " ".join(f"propagate_down: {str(ask).lower()}" for ask in self.asks)
        weights = (WEIGHT, *[0.0] * (len(self.variant.tops) - 1))
        return text + self.variant.layer(weights=weights, extra=asks) + beside

    def inputs(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The bottoms' values by the names of the inputs that they come from."""
        return {f"{name}_in" if name in self.variant.learned else name: array for name, array in values.items()}

    def case(self, name: str, values: Mapping[str, Array] | None = None, beside: str = "", **fields: Any) -> Case:
        """The case; its id is the prefix, the loss's stem and ``name``."""
        values = self.variant.values(seed=5) if values is None else values
        params: dict[str, tuple[Array, ...]] = {}
        if not self.scaled:
            widths = {name: self.variant.shapes[name][-1] for name in self.variant.learned}
            params = {name: (np.eye(width), np.zeros(width)) for name, width in widths.items()}
        loss = self.variant.loss
        fed = {"inputs": self.inputs(values), "params": params, "forms": loss.forms}
        return Case(f"{self.prefix}/{loss.stem}/{name}", self.net(beside), **{**fed, **fields})

    def then(self, values: Mapping[str, Array], **fields: Any) -> Pass:
        """A further pass on other values."""
        return Pass(self.inputs(values), **fields)
