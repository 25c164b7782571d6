"""Graph: a net's layers as Caffe would set them up, with the weights that count and who runs backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from conformance.audit.document import Document
from conformance.audit.paper import PaperLayer, is_known
from refimpl.backward_plan import Node, plan_backward
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetState
from refimpl.splits import included, insert_splits, is_inserted

__all__ = ["AUTOMATIC", "Graph", "Stopped", "graph_of", "is_loss"]

AUTOMATIC = "(automatic)"


@dataclass(frozen=True)
class Stopped:
    """Where Caffe stops while it sets the net up: the layer, by its name, and why; the blob that nobody makes, if it is
    that."""

    layer: str
    reason: str
    missing: str = ""


@dataclass(frozen=True)
class Graph:
    """``layers`` are those that the phase, level and stages choose, as written, ``lines`` where each begins; ``nodes``
    are those after splitting.

    ``touched`` are the quirks that play a part.
    """

    layers: tuple[LayerParameter, ...]
    lines: tuple[int, ...]
    nodes: tuple[Node, ...]
    touched: frozenset[str]
    stopped: tuple[Stopped, ...]
    force: bool
    phase: str

    def node(self, name: str) -> Node | None:
        """The first node of a layer's name."""
        return self._by_name.get(name)

    def readers(self, blob: str) -> list[LayerParameter]:
        """The layers that take a blob, as written."""
        return self._readers.get(blob, [])

    @cached_property
    def origins(self) -> tuple[int, ...]:
        """For each node the index in ``layers`` of the one that it is, or, for a Split that Caffe puts in, follows."""
        found: list[int] = []
        at = -1
        for node in self.nodes:
            following = self.layers[at + 1] if at + 1 < len(self.layers) else None
            if following is not None and (following.name, following.type) == (node.name, node.type):
                at += 1
            found.append(at)
        return tuple(found)

    @cached_property
    def makers(self) -> dict[str, LayerParameter]:
        """The last layer that makes a blob, as written."""
        return {top: layer for layer in self.layers for top in layer.top}

    @cached_property
    def under_loss(self) -> frozenset[str]:
        """The layers that lead to a weighted top, or have one."""
        found: set[str] = set()
        blobs: set[str] = set()
        for node in reversed(self.nodes):
            if any(node.loss_weights) or not blobs.isdisjoint(node.tops):
                found.add(node.name)
                blobs.update(node.bottoms)
        return frozenset(found)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in reversed(self.nodes)}

    @cached_property
    def _readers(self) -> dict[str, list[LayerParameter]]:
        found: dict[str, list[LayerParameter]] = {}
        for layer in self.layers:
            for blob in dict.fromkeys(layer.bottom):
                found.setdefault(blob, []).append(layer)
        return found


def is_loss(kind: str) -> bool:
    """Whether Caffe's rule gives the type's first top a weight unasked; of a type that nobody knows, the name tells:
    it speaks of a loss."""
    if kind in REGISTRY:
        return REGISTRY[kind].implicit_weight
    return "Loss" in kind and not is_known(kind)


def graph_of(document: Document, phase: str, level: int, stages: Sequence[str], dialect: str = "bvlc") -> Graph:
    """The graph that a document's net makes, in the state that the solver, the net and the caller ask for."""
    state = NetState(phase=phase, level=level or document.state.level, stage=(*document.state.stage, *stages))
    stopped: list[Stopped] = []
    layers, lines = [], []
    for layer, line in zip(document.net.layer, document.lines, strict=True):
        try:
            if included(layer, state):
                layers.append(layer)
                lines.append(line)
        except NetError as error:
            stopped.append(Stopped(layer.name, error.message))
    layers = _with_known_bottoms(layers, stopped)
    sides = Dialect.named(dialect)
    split = insert_splits(layers, sides, is_loss)
    nodes = _nodes(split, stopped, sides)
    plan_backward(nodes, sides, document.net.force_backward)
    return Graph(
        tuple(layers),
        tuple(lines),
        tuple(nodes),
        frozenset(sides.touched),
        tuple(stopped),
        document.net.force_backward,
        phase,
    )


def _with_known_bottoms(layers: list[LayerParameter], stopped: list[Stopped]) -> list[LayerParameter]:
    """The layers, a bottom that nobody makes left out and said so."""
    made: set[str] = set()
    result = []
    for layer in layers:
        for name in layer.bottom:
            if name not in made:
                stopped.append(Stopped(layer.name, f"its bottom {name!r} is made by no layer above it", name))
        result.append(replace(layer, bottom=tuple(name for name in layer.bottom if name in made)))
        made.update(layer.top)
    return result


def _nodes(layers: Sequence[LayerParameter], stopped: list[Stopped], dialect: Dialect) -> list[Node]:
    nodes: list[Node] = []
    ids: dict[str, int] = {}
    count = 0
    for param in layers:
        bottoms = tuple(ids[name] for name in param.bottom)
        tops = list(param.top) or ([AUTOMATIC] if is_loss(param.type) else [])
        top_ids = []
        for i, name in enumerate(tops):
            in_place = i < len(param.bottom) and param.bottom[i] == name
            if not in_place:
                if name in ids and name != AUTOMATIC:
                    stopped.append(Stopped(param.name, f"its top {name!r} is made by another layer already"))
                ids[name] = count
                count += 1
            top_ids.append(ids[name])
        weights = _weights(param, tops, stopped, dialect)
        layer = PaperLayer(param, weights)
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            stopped.append(
                Stopped(param.name, f"{len(param.propagate_down)} propagate_down for {len(param.bottom)} bottom(s)")
            )
            layer.param = replace(param, propagate_down=())
        if len(param.param) > len(layer.blobs) and layer.own is not None and not layer.own.forms:
            stopped.append(Stopped(param.name, f"{len(param.param)} param for {len(layer.blobs)} learnable blob(s)"))
        nodes.append(Node(param.name, param.type, layer, list(param.bottom), tops, bottoms, tuple(top_ids)))  # type: ignore[arg-type]
    return nodes


def _weights(param: LayerParameter, tops: Sequence[str], stopped: list[Stopped], dialect: Dialect) -> list[float]:
    """One weight per top, as LossLayer and Layer set them; what a fork's type with several tops does is its own."""
    given = list(param.loss_weight)
    if not given and is_loss(param.type):
        given = [1.0]
        if len(tops) > 1 and not dialect.takes("implicit-weight-once"):
            given += [0.0] * (len(tops) - 1)
    asked = bool(param.loss_weight) or is_known(param.type)
    if asked and given and len(given) != len(tops) and not is_inserted(param.name, tops):
        stopped.append(
            Stopped(param.name, f"{len(given)} loss_weight for {len(tops)} top(s): give one per top, or none")
        )
    return [*given, *[0.0] * len(tops)][: len(tops)]
