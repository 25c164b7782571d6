"""Sizes: the counts that a loss layer may divide by, or fail to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.losses import loss_of_layer
from conformance.losses.loss import MODES
from refimpl.arithmetic import value_of
from refimpl.backward_plan import Node
from refimpl.errors import LayerError
from refimpl.layers.normalisation import Normalisation
from refimpl.net import Net

__all__ = ["Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Of a layer's first bottom: ``batch`` items of ``entries`` each, ``classes`` of them at each of ``positions``.

    ``divisors`` maps every normalisation mode to what it divides by, ``mode`` is the layer's own (empty where it has
    none); ``counted`` marks, in the shape of the first bottom, what is not ignored.
    """

    batch: int
    entries: int
    classes: int
    positions: int
    divisors: Mapping[str, float]
    mode: str
    default: str
    counted: NDArray[np.bool_]

    @property
    def normaliser(self) -> float:
        """What the layer divides by; for a layer without modes the batch size."""
        return self.divisors.get(self.mode, float(self.batch))

    @classmethod
    def of(cls, net: Net, node: Node | None) -> Sizes | None:
        """The sizes of a node; None where it has no bottom of any size."""
        bottoms = net.bottoms_of(node) if node is not None else []
        if node is None or not bottoms or not bottoms[0].count or not bottoms[0].shape:
            return None
        layer, shape = node.layer, bottoms[0].shape
        own: Normalisation | None = getattr(layer, "normalisation", None)
        axis: int = getattr(layer, "axis", 1 if len(shape) > 1 else 0)
        loss = loss_of_layer(node.layer)
        if own is None or loss is None:
            entries = bottoms[0].count // shape[0]
            return cls(shape[0], entries, entries, 1, {}, "", "", np.ones(shape, bool))
        if not loss.answer.role.by_item:  # parts of items count, as the layer has chosen them
            entries, divisors = bottoms[0].count // shape[0], layer.divisors(bottoms)  # type: ignore[attr-defined]
            return cls(shape[0], entries, entries, 1, divisors, own.mode, loss.default_mode, np.ones(shape, bool))
        labels = np.trunc(np.nan_to_num(np.real(value_of(bottoms[1].data)))).astype(np.int64)
        if loss.unit == "entry":
            counted = own.counted(labels.reshape(shape))
            outer, classes, along = shape[0], 1, counted
        else:
            try:
                counted = layer.read_labels(bottoms)[1]  # type: ignore[attr-defined]
            except LayerError:
                return None
            outer, classes = math.prod(shape[:axis]), shape[axis]
            along = np.broadcast_to(layer.along_classes(counted), shape)  # type: ignore[attr-defined]
        entries, positions = bottoms[0].count // shape[0], counted.size // max(1, outer)
        divisors = {mode: Normalisation(mode).divisor(outer, counted) for mode in MODES}
        return cls(shape[0], entries, classes, positions, divisors, own.mode, loss.default_mode, along)
