"""Regions: the layers of a net by the losses that they lead to, which is what can be drawn of a net of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.audit.audit import Audit
from conformance.audit.paper import DATA, is_known
from conformance.audit.terms import Term

__all__ = ["Edge", "Region", "regions_of"]


@dataclass
class Region:
    """``kind`` is "data", "layers" (that lead to a loss), "loss" or "aside" (that lead to none).

    ``layers`` are indices in the graph's layers, ``terms`` a loss's own.
    """

    kind: str
    layers: list[int] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)


@dataclass(frozen=True)
class Edge:
    """From one region to another, by their indices; ``gradient`` where any of the blobs takes one back."""

    source: int
    target: int
    gradient: bool


Key = tuple[str, int]


def regions_of(audit: Audit) -> tuple[list[Region], list[Edge]]:
    """The regions in the order of the net, and the edges between them, which make no circle: every edge leads to a
    region that leads to fewer losses, or from data."""
    graph = audit.graph
    terms: dict[int, list[Term]] = {}
    for term in audit.terms:
        terms.setdefault(term.index, []).append(term)
    keys = list(_keys(audit, terms))
    indices: dict[Key, int] = {}
    regions: list[Region] = []
    for at, key in enumerate(keys):
        if key not in indices:
            indices[key] = len(regions)
            regions.append(Region(key[0], terms=terms.get(at, [])))
        regions[indices[key]].layers.append(at)
    edges: dict[tuple[int, int], bool] = {}
    makers: dict[int, int] = {}
    for node, at in zip(graph.nodes, graph.origins, strict=True):
        target = indices[keys[at]]
        for blob, gradient in zip(node.bottom_ids, node.bottom_need_backward, strict=True):
            source = makers[blob]
            if source != target:
                flows = gradient and node.need_backward
                edges[source, target] = edges.get((source, target), False) or flows
        makers.update(dict.fromkeys(node.top_ids, target))
    return regions, [Edge(*pair, gradient) for pair, gradient in edges.items()]


def _keys(audit: Audit, terms: dict[int, list[Term]]) -> Iterator[Key]:
    """For each layer what its region is known by: its kind, and the losses it leads to as the bits of a number."""
    graph = audit.graph
    blobs: dict[int, int] = {}
    leads = [0] * len(graph.layers)
    bits = {at: 1 << i for i, at in enumerate(terms)}
    for node, at in zip(reversed(graph.nodes), reversed(graph.origins), strict=True):
        for blob in node.top_ids:
            leads[at] |= blobs.get(blob, 0)
        leads[at] |= bits.get(at, 0)
        for blob in node.bottom_ids:
            blobs[blob] = blobs.get(blob, 0) | leads[at]
    for at, layer in enumerate(graph.layers):
        if at in terms:
            yield "loss", bits[at]
        elif not leads[at]:
            yield "aside", 0
        else:
            feeds = layer.type in DATA or (not layer.bottom and (layer.type == "Python" or not is_known(layer.type)))
            yield "data" if feeds else "layers", leads[at]
