"""Who runs backward, and into which bottoms (``src/caffe/net.cpp`` Init and AppendBottom).

A layer runs backward where a gradient is needed below it (a parameter with lr_mult other than 0, or a bottom whose
producer runs backward) and it leads to a weighted top. ``propagate_down`` overrides what a bottom needs;
``force_backward`` asks for every gradient that a layer can give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refimpl.layer import Layer
from refimpl.quirk import PROTO, Quirk

if TYPE_CHECKING:
    from refimpl.dialect import Dialect

__all__ = ["QUIRKS", "Node", "plan_backward"]

QUIRKS = (
    Quirk(
        "force-backward-overrides-propagate-down",
        "force_backward sends gradients even to bottoms with propagate_down: false",
        "propagate_down: false skips that bottom",
        f"src/caffe/net.cpp Init; {PROTO} LayerParameter.propagate_down",
        number=9,
    ),
    Quirk(
        "propagate-down-forces-nothing",
        "propagate_down: true on a layer that nothing else makes run backward has no effect",
        "propagate_down: true forces the gradient to that bottom",
        f"src/caffe/net.cpp Init and AppendBottom; {PROTO} LayerParameter.propagate_down",
        number=10,
    ),
    Quirk(
        "force-backward-needs-every-backward",
        "force_backward makes layers without a backward pass (Accuracy, ArgMax) run it, which is fatal",
        "a layer that cannot run backward and carries no weight is left out of the backward pass",
        f"src/caffe/net.cpp Init, include/caffe/layers/accuracy_layer.hpp; {PROTO} NetParameter.force_backward",
        number=11,
    ),
)


@dataclass
class Node:
    """A layer in its net: the names of its bottoms and tops, and what the plan decides of it."""

    name: str
    type: str
    layer: Layer
    bottoms: list[str]
    tops: list[str]
    bottom_ids: tuple[int, ...]
    top_ids: tuple[int, ...]
    need_backward: bool = False
    bottom_need_backward: list[bool] = field(default_factory=list)

    @property
    def loss_weights(self) -> list[float]:
        """One weight per top, 0 where it has none."""
        return list(self.layer.loss_weights)


def plan_backward(nodes: Sequence[Node], dialect: Dialect, force: bool) -> None:
    """Set every node's ``need_backward``, ``bottom_need_backward`` and its layer's ``param_propagate_down``."""
    contributes = _lead_to_loss(nodes)
    _need_from_above(nodes, dialect, contributes)
    _drop_what_leads_nowhere(nodes, contributes)
    if force:
        _force(nodes, dialect, contributes)


def _lead_to_loss(nodes: Sequence[Node]) -> list[bool]:
    under_loss: set[str] = set()
    contributes = [False] * len(nodes)
    for i, node in reversed(list(enumerate(nodes))):
        contributes[i] = any(node.loss_weights) or not under_loss.isdisjoint(node.tops)
        if contributes[i]:
            under_loss.update(node.bottoms)
    return contributes


def _need_from_above(nodes: Sequence[Node], dialect: Dialect, contributes: Sequence[bool]) -> None:
    needed: set[int] = set()
    for node, contributing in zip(nodes, contributes, strict=True):
        asked = node.layer.param.propagate_down
        node.bottom_need_backward = list(asked) or [blob in needed for blob in node.bottom_ids]
        learnt = [i for i, blob in enumerate(node.layer.blobs) if _learning_rate(node.layer, i) != 0]
        node.layer.param_propagate_down = [i in learnt for i in range(len(node.layer.blobs))]
        node.need_backward = bool(learnt) or not needed.isdisjoint(node.bottom_ids)
        if not node.need_backward and any(asked) and contributing:
            node.need_backward = not dialect.takes("propagate-down-forces-nothing")
        if node.need_backward:
            needed.update(node.top_ids)


def _learning_rate(layer: Layer, index: int) -> float:
    specs = layer.param.param
    return specs[index].lr_mult if index < len(specs) else 1.0


def _drop_what_leads_nowhere(nodes: Sequence[Node], contributes: Sequence[bool]) -> None:
    skipped: set[str] = set()
    for node, contributing in reversed(list(zip(nodes, contributes, strict=True))):
        skippable = skipped.issuperset(node.tops)
        if node.need_backward and skippable:
            node.bottom_need_backward = [False] * len(node.bottoms)
        if skippable or not contributing:
            node.need_backward = False
        if not contributing:
            node.bottom_need_backward = [False] * len(node.bottoms)
        skipped.update(name for name, need in zip(node.bottoms, node.bottom_need_backward, strict=True) if not need)


def _force(nodes: Sequence[Node], dialect: Dialect, contributes: Sequence[bool]) -> None:
    for node, contributing in zip(nodes, contributes, strict=True):
        layer = node.layer
        if not layer.has_backward and not contributing and not dialect.takes("force-backward-needs-every-backward"):
            continue
        node.need_backward = True
        layer.param_propagate_down = [True] * len(layer.blobs)
        for j, needed in enumerate(node.bottom_need_backward):
            if needed or not layer.allow_force_backward(j):
                continue
            refused = bool(layer.param.propagate_down) and not layer.param.propagate_down[j]
            node.bottom_need_backward[j] = not refused or dialect.takes("force-backward-overrides-propagate-down")
