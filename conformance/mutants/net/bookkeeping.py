"""Changes that the net's mutants are made of: to what is built, to what is added up, to who runs backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from refimpl.backward_plan import Node
from refimpl.blob import Blob
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetParameter
from refimpl.net import Net
from refimpl.prototxt import parse_net

__all__ = ["Term", "built_from", "is_loss", "planned", "totalling", "weighted"]


def is_loss(kind: str) -> bool:
    """Whether a layer of this type is a loss layer."""
    return kind in REGISTRY and REGISTRY[kind].implicit_weight


@dataclass(frozen=True)
class Term:
    """A weighted top of a net, after its layer has run forward."""

    net: Net
    node: Node
    blob: Blob
    weight: float

    @property
    def name(self) -> str:
        return self.node.tops[self.net.tops_of(self.node).index(self.blob)]

    @property
    def value(self) -> float:
        """What it adds to the net's loss."""
        return float((self.blob.wide * self.blob.wide_diff).sum())


def totalling(total: Callable[[list[Term]], float]) -> type[Net]:
    """A net whose loss is another function of its weighted tops."""

    class Wrong(Net):
        def forward(self) -> Any:
            for node in self.layers:
                self.forward_layer(node)
            terms = [
                Term(self, node, blob, weight)
                for node in self.layers
                for blob, weight in zip(self.tops_of(node), node.loss_weights, strict=True)
                if weight != 0
            ]
            return float(total(terms))

    return Wrong


def built_from(change: Callable[[NetParameter, str], NetParameter]) -> type[Net]:
    """A net built from another prototxt than it is given; ``change`` is told the phase."""

    class Wrong(Net):
        def __init__(self, text: str | NetParameter, phase: str = "TRAIN", **options: Any) -> None:
            super().__init__(change(parse_net(text) if isinstance(text, str) else text, phase), phase, **options)

    return Wrong


def weighted(change: Callable[[LayerParameter, tuple[float, ...]], Iterable[float]]) -> type[Net]:
    """A net whose layers have other loss_weights than the prototxt gives."""

    def reweighed(net: NetParameter, phase: str) -> NetParameter:
        layers = (replace(layer, loss_weight=tuple(change(layer, layer.loss_weight))) for layer in net.layer)
        return replace(net, layer=tuple(layers))

    return built_from(reweighed)


def planned(change: Callable[[list[Node]], None]) -> type[Net]:
    """A net with another plan of who runs backward."""

    class Wrong(Net):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            change(self.layers)

    return Wrong
