"""Terms: what the net's loss is a sum of, each with its weight, where that came from, and what it is divided by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from conformance.audit.divisor import divisor_of
from conformance.audit.document import Document
from conformance.audit.graph import AUTOMATIC, Graph, is_loss
from conformance.audit.meaning import Meaning, meaning_of
from conformance.audit.paper import is_known
from conformance.audit.shapes import sizes_of
from conformance.contract.errors import one_line
from conformance.losses import Loss
from refimpl.backward_plan import Node
from refimpl.messages import LayerParameter

__all__ = ["AGAIN", "Term", "equation", "terms_of", "trained", "unasked"]


AGAIN = "implicit, once more"
"""The origin of the weight that a loss adds whose own has moved to a Split."""


@dataclass(frozen=True)
class Term:
    """``weight`` times the sum of ``top``; ``origin`` is explicit, implicit, or "implicit, unknown type".

    ``formula`` says what the top is, ``divisor`` what it is divided by; both empty where the type is not known.
    ``count`` is the divisor as a number, as far as it is known (see `Divisor`).
    ``forms`` are what forks mean by the type, where they mean different things. ``rules`` are the weights that BVLC's
    rule and those of forks give the type unasked, where they may differ and nobody was asked. ``index`` is the layer's
    in the graph.
    """

    layer: str
    type: str
    top: str
    weight: float
    origin: str
    formula: str = ""
    divisor: str = ""
    count: float | None = None
    forms: tuple[str, ...] = ()
    rules: tuple[tuple[str, float], ...] = ()
    line: int = 0
    index: int = 0

    @property
    def place(self) -> str:
        """What to call it: its top, or its layer where no top is named."""
        return self.layer if self.top == AUTOMATIC else self.top

    def to_json(self) -> dict[str, Any]:
        said = {**asdict(self), "forms": list(self.forms), "rules": dict(self.rules)}
        if not isfinite(self.weight):
            said["weight"] = str(self.weight)
        del said["index"]
        return said


def terms_of(document: Document, graph: Graph) -> list[Term]:
    """The weighted tops in the net's order; a Split that Caffe put in speaks for the layer it follows."""
    sizes = sizes_of(graph.layers)
    found = []
    for node, at in zip(graph.nodes, graph.origins, strict=True):
        source = graph.layers[at]
        for top, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight == 0:
                continue
            meaning = meaning_of(document, source, graph.lines[at])
            divisor = divisor_of(source, meaning, sizes[at], document.iter_size)
            found.append(
                Term(
                    source.name,
                    source.type,
                    top if graph.node(at) is node else node.bottoms[0],
                    weight,
                    _origin(source, graph.node(at) is node, node),
                    _formula(source, meaning.loss),
                    divisor.words,
                    divisor.number,
                    meaning.forms if len(meaning.forms) > 1 else (),
                    () if source.loss_weight else unasked(source.type, meaning),
                    graph.lines[at],
                    at,
                )
            )
    return found


def equation(terms: list[Term]) -> str:
    """``L = 0.3·Σ loss1/loss1 + 1·Σ loss3/loss3``."""
    if not terms:
        return "L = 0"
    parts = [f"{term.weight:.7g}·Σ {one_line(term.place)}" for term in terms]
    return "L = " + " + ".join(parts).replace("+ -", "- ")


def _origin(layer: LayerParameter, own: bool, node: Node) -> str:
    if layer.loss_weight:
        again = own and not node.layer.param.loss_weight
        return AGAIN if again else "explicit"
    return "implicit" if is_known(layer.type) else "implicit, unknown type"


def _formula(layer: LayerParameter, loss: Loss | None) -> str:
    if loss is not None:
        return loss.forward
    if is_loss(layer.type):
        return ""
    return f"every entry of the top of {layer.type}, added up" if is_known(layer.type) else ""


def unasked(kind: str, meaning: Meaning) -> tuple[tuple[str, float], ...]:
    """What a loss type weighs without ``loss_weight``, by whose rule; nothing where all rules agree on 1."""
    if is_known(kind):
        return meaning.weights if any(weight == 0 for _, weight in meaning.weights) else ()
    return (("BVLC Caffe, as of a LossLayer", 1.0), ("forks whose layer does not call LossLayer's set-up", 0.0))


def trained(graph: Graph) -> Iterator[tuple[int, str]]:
    """Every layer with learnable blobs, by its index, and why it is not trained; empty where it is.

    Blobs that are shared by name are trained where any of the layers that share them is.
    """
    states = [(at, _still(graph, at)) for at in range(len(graph.layers)) if graph.node(at).layer.blobs]
    owned = {name: graph.layers[at].name for at, why in states if not why for name in _shared(graph.node(at))}
    for at, why in states:
        node = graph.node(at)
        names = _shared(node)
        if why and len(names) == len(node.layer.blobs) and all(name in owned for name in names):
            why = f"its blobs are those of {owned[names[0]]}, which is trained"
        yield at, why


def _still(graph: Graph, at: int) -> str:
    node = graph.node(at)
    rates = [spec.lr_mult for spec in node.layer.param.param[: len(node.layer.blobs)]]
    frozen = len(rates) == len(node.layer.blobs) and not any(rates)
    if node.need_backward or graph.force:
        return "lr_mult is 0" if frozen else ""
    return "lr_mult is 0" if frozen else _why(graph, at)


def _shared(node: Node) -> list[str]:
    return [spec.name for spec in node.layer.param.param[: len(node.layer.blobs)] if spec.name]


def _why(graph: Graph, at: int) -> str:
    if graph.index(at) not in graph.under_loss:
        return "no loss above it"
    return "a loss above it sends no gradient down to it"
