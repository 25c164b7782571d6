"""Graph: a net's layers as Caffe would set them up, with the weights that count and who runs backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import NamedTuple

from conformance.audit.document import Document
from conformance.audit.paper import PaperLayer, is_known, refusal
from refimpl.backward_plan import Node, plan_backward
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetState
from refimpl.splits import included, insert_splits

__all__ = ["AUTOMATIC", "Graph", "Place", "Stopped", "graph_of", "is_loss"]

AUTOMATIC = "(automatic)"


class Place(NamedTuple):
    """A layer's name, which others may have too, and the line on which it begins; of the whole net, neither."""

    layer: str = ""
    line: int = 0


@dataclass(frozen=True)
class Stopped:
    """Where Caffe stops while it sets the net up, and why; the blob that nobody makes, if it is that; whether a fork
    may go on."""

    place: Place
    reason: str
    missing: str = ""
    forked: bool = False


@dataclass(frozen=True)
class Graph:
    """``layers`` are those that the phase, level and stages choose, as written, ``lines`` where each begins; ``nodes``
    are those after splitting, ``origins`` for each of them the index in ``layers`` of the one that it is, or, for a
    Split that Caffe puts in, follows. Layers may share a name.
    """

    layers: tuple[LayerParameter, ...]
    lines: tuple[int, ...]
    nodes: tuple[Node, ...]
    origins: tuple[int, ...]
    stopped: tuple[Stopped, ...]
    force: bool
    phase: str

    def place(self, at: int) -> Place:
        """Where a layer is, by its index."""
        return Place(self.layers[at].name, self.lines[at])

    def index(self, at: int) -> int:
        """The index in ``nodes`` of a layer itself, by its index."""
        return self._own[at]

    def node(self, at: int) -> Node:
        """A layer after splitting, by its index."""
        return self.nodes[self._own[at]]

    def readers(self, blob: str) -> list[int]:
        """The indices of the layers that take a blob."""
        return self._readers.get(blob, [])

    @cached_property
    def makers(self) -> dict[str, int]:
        """The index of the last layer that makes a blob."""
        return {top: at for at, layer in enumerate(self.layers) for top in layer.top}

    @cached_property
    def under_loss(self) -> frozenset[int]:
        """The indices in ``nodes`` of those that lead to a weighted top, or have one."""
        found: set[int] = set()
        blobs: set[str] = set()
        for index, node in reversed(list(enumerate(self.nodes))):
            if any(node.loss_weights) or not blobs.isdisjoint(node.tops):
                found.add(index)
                blobs.update(node.bottoms)
        return frozenset(found)

    @cached_property
    def _own(self) -> dict[int, int]:
        pairs = list(enumerate(self.origins))
        return {at: index for index, at in reversed(pairs)}

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for at, layer in enumerate(self.layers):
            for blob in dict.fromkeys(layer.bottom):
                found.setdefault(blob, []).append(at)
        return found


def is_loss(kind: str) -> bool:
    """Whether Caffe's rule gives the type's first top a weight unasked; of a type that nobody knows, the name tells:
    it speaks of a loss."""
    if kind in REGISTRY:
        return REGISTRY[kind].implicit_weight
    return "Loss" in kind and not is_known(kind)


def graph_of(document: Document, phase: str, level: int | None, stages: Sequence[str], dialect: str = "bvlc") -> Graph:
    """The graph that a document's net makes, in the state that the solver, the net and the caller ask for."""
    state = NetState(
        phase=phase,
        level=document.state.level if level is None else level,
        stage=(*document.state.stage, *stages),
    )
    stopped: list[Stopped] = []
    written, lines = [], []
    for layer, line in zip(document.net.layer, document.lines, strict=True):
        try:
            if included(layer, state):
                written.append(layer)
                lines.append(line)
        except NetError as error:
            stopped.append(Stopped(Place(layer.name, line), error.message))
    sides = Dialect.named(dialect)
    places = [Place(layer.name, line) for layer, line in zip(written, lines, strict=True)]
    for layer, place in zip(written, places, strict=True):
        stopped += _refusals(layer, place, sides)
    layers = _with_known_bottoms(written, places, stopped)
    split = insert_splits(layers, sides, is_loss)
    origins = _origins(layers, split)
    nodes = _nodes(split, [places[at] for at in origins], stopped, sides)
    plan_backward(nodes, sides, document.net.force_backward)
    return Graph(
        tuple(layers),
        tuple(lines),
        tuple(nodes),
        origins,
        tuple(stopped),
        document.net.force_backward,
        phase,
    )


def _refusals(layer: LayerParameter, place: Place, dialect: Dialect) -> Iterator[Stopped]:
    """Why Caffe does not set up a layer, as far as the layer alone tells."""
    reason, forked = refusal(layer, len(layer.top) or int(is_loss(layer.type)), dialect)
    if reason:
        yield Stopped(place, reason, forked=forked)
    if layer.propagate_down and len(layer.propagate_down) != len(layer.bottom):
        yield Stopped(place, f"{len(layer.propagate_down)} propagate_down for {len(layer.bottom)} bottom(s)")
    paper = PaperLayer(layer, [])
    if len(layer.param) > len(paper.blobs) and paper.own is not None and not paper.own.forms:
        yield Stopped(place, f"{len(layer.param)} param for {len(paper.blobs)} learnable blob(s)")


def _with_known_bottoms(
    layers: Sequence[LayerParameter], places: Sequence[Place], stopped: list[Stopped]
) -> list[LayerParameter]:
    """The layers, a bottom that nobody makes left out and said so, and what cannot be meant of propagate_down."""
    made: set[str] = set()
    result = []
    for layer, place in zip(layers, places, strict=True):
        for name in layer.bottom:
            if name not in made:
                stopped.append(Stopped(place, f"its bottom {name!r} is made by no layer above it", name))
        kept = [name in made for name in layer.bottom]
        downs = compress(layer.propagate_down, kept) if len(layer.propagate_down) == len(kept) else ()
        result.append(replace(layer, bottom=tuple(compress(layer.bottom, kept)), propagate_down=tuple(downs)))
        made.update(layer.top)
    return result


def _origins(layers: Sequence[LayerParameter], split: Sequence[LayerParameter]) -> tuple[int, ...]:
    """For each layer after splitting the index of the one that it is, or, if it has been put in, follows."""
    found: list[int] = []
    at = -1
    for layer in split:
        following = layers[at + 1] if at + 1 < len(layers) else None
        if following is not None and (following.name, following.type) == (layer.name, layer.type):
            at += 1
        found.append(at)
    return tuple(found)


def _nodes(
    layers: Sequence[LayerParameter], places: Sequence[Place], stopped: list[Stopped], dialect: Dialect
) -> list[Node]:
    nodes: list[Node] = []
    ids: dict[str, int] = {}
    count = 0
    for param, place in zip(layers, places, strict=True):
        bottoms = tuple(ids[name] for name in param.bottom)
        tops = list(param.top) or ([AUTOMATIC] if is_loss(param.type) else [])
        top_ids = []
        for i, name in enumerate(tops):
            in_place = i < len(param.bottom) and param.bottom[i] == name
            if not in_place:
                if name in ids and name != AUTOMATIC:
                    stopped.append(Stopped(place, f"its top {name!r} is made by another layer already"))
                ids[name] = count
                count += 1
            top_ids.append(ids[name])
        layer = PaperLayer(param, _weights(param, tops, place, stopped, dialect), dialect)
        nodes.append(Node(param.name, param.type, layer, list(param.bottom), tops, bottoms, tuple(top_ids)))  # type: ignore[arg-type]
    return nodes


def _weights(
    param: LayerParameter, tops: Sequence[str], place: Place, stopped: list[Stopped], dialect: Dialect
) -> list[float]:
    """One weight per top, as LossLayer and Layer set them; what a fork's type with several tops does is its own."""
    given = list(param.loss_weight)
    if not given and is_loss(param.type):
        given = [1.0]
        if len(tops) > 1 and not dialect.takes("implicit-weight-once"):
            given += [0.0] * (len(tops) - 1)
    asked = bool(param.loss_weight) or is_known(param.type)
    if asked and given and len(given) != len(tops):
        stopped.append(Stopped(place, f"{len(given)} loss_weight for {len(tops)} top(s): give one per top, or none"))
    return [*given, *[0.0] * len(tops)][: len(tops)]
