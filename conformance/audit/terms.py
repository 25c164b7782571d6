"""Terms: what the net's loss is a sum of, each with its weight, where that came from, and what it is divided by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from conformance.audit.document import Document
from conformance.audit.graph import Graph, is_loss
from conformance.audit.paper import is_known
from conformance.losses import Loss, loss_of_type
from refimpl.backward_plan import Node
from refimpl.messages import LayerParameter
from refimpl.textformat import Scalar

__all__ = ["Term", "equation", "terms_of", "trained"]

_COUNTED = {
    "FULL": "all {unit}s",
    "VALID": "the {unit}s that count",
    "BATCH_SIZE": "the batch size",
    "NONE": "nothing",
}


@dataclass(frozen=True)
class Term:
    """``weight`` times the sum of ``top``; ``origin`` is explicit, implicit, or "implicit, unknown type".

    ``formula`` says what the top is, ``divisor`` what it is divided by; both empty where the type is not known.
    ``forms`` are what forks mean by the type, where they mean different things.
    """

    layer: str
    type: str
    top: str
    weight: float
    origin: str
    formula: str = ""
    divisor: str = ""
    forms: tuple[str, ...] = ()
    line: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "forms": list(self.forms)}


def terms_of(document: Document, graph: Graph) -> list[Term]:
    """The weighted tops in the net's order; a Split that Caffe put in speaks for the layer it follows."""
    written = {layer.name: layer for layer in graph.layers}
    batch = _batch(graph)
    found = []
    for node in graph.nodes:
        for top, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight == 0:
                continue
            source = written.get(node.name) or graph.makers[node.bottoms[0]]
            blob = top if node.name in written else node.bottoms[0]
            loss = loss_of_type(source.type)
            found.append(
                Term(
                    source.name,
                    source.type,
                    blob,
                    weight,
                    _origin(source, node),
                    _formula(source, loss),
                    _divisor(source, loss, batch),
                    tuple(form.name for form in loss.layer.forms) if loss else (),
                    document.line(source.name),
                )
            )
    return found


def equation(terms: list[Term]) -> str:
    """``L = 0.3·Σ loss1/loss1 + 1·Σ loss3/loss3``."""
    if not terms:
        return "L = 0"
    parts = [f"{term.weight:.7g}·Σ {_place(term)}" for term in terms]
    return "L = " + " + ".join(parts).replace("+ -", "- ")


def _place(term: Term) -> str:
    return term.layer if term.top == "(automatic)" else term.top


def _origin(layer: LayerParameter, node: Node) -> str:
    if layer.loss_weight:
        again = node.name == layer.name and not node.layer.param.loss_weight
        return "implicit, once more" if again else "explicit"
    return "implicit" if is_known(layer.type) else "implicit, unknown type"


def _formula(layer: LayerParameter, loss: Loss | None) -> str:
    if loss is not None:
        return loss.forward
    if is_loss(layer.type):
        return ""
    return f"every entry of the top of {layer.type}, added up" if is_known(layer.type) else ""


def _batch(graph: Graph) -> str:
    """The batch size that the data layers give, where they agree on one."""
    sizes = {
        int(value.text)
        for layer in graph.layers
        for blocks in layer.extra.values()
        for block in blocks
        for value in block.all("batch_size")
        if isinstance(value, Scalar) and value.text.isdigit()
    }
    return f" ({sizes.pop()})" if len(sizes) == 1 else ""


def _divisor(layer: LayerParameter, loss: Loss | None, batch: str) -> str:
    if loss is None:
        return ""
    if not loss.default_mode:
        return f"what its formula says{batch and f'; the batch is{batch}'}"
    given = layer.loss_param
    mode, why = loss.default_mode, "by default"
    if given.has("normalization"):
        mode, why = given.normalization, "asked for"
    elif given.has("normalize"):
        mode, why = ("VALID" if given.normalize else "BATCH_SIZE"), "by normalize"
    words = _COUNTED[mode].format(unit=loss.unit)
    if mode == "VALID" and given.has("ignore_label"):
        words += f" (label other than {given.ignore_label})"
    return f"{words}{batch if mode == 'BATCH_SIZE' else ''}: {mode}, {why}"


def trained(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Every layer with learnable blobs, and why it is not trained; empty where it is.

    Blobs that are shared by name are trained where any of the layers that share them is.
    """
    states = [(node, _still(graph, node)) for node in graph.nodes if node.layer.blobs]
    owned = {name: node.name for node, why in states if not why for name in _shared(node)}
    for node, why in states:
        names = _shared(node)
        if why and len(names) == len(node.layer.blobs) and all(name in owned for name in names):
            why = f"its blobs are those of {owned[names[0]]}, which is trained"
        yield node, why


def _still(graph: Graph, node: Node) -> str:
    rates = [spec.lr_mult for spec in node.layer.param.param[: len(node.layer.blobs)]]
    frozen = len(rates) == len(node.layer.blobs) and not any(rates)
    if node.need_backward or graph.force:
        return "lr_mult is 0" if frozen else ""
    return "lr_mult is 0" if frozen else _why(graph, node)


def _shared(node: Node) -> list[str]:
    return [spec.name for spec in node.layer.param.param[: len(node.layer.blobs)] if spec.name]


def _why(graph: Graph, node: Node) -> str:
    if node.name not in graph.under_loss:
        return "no loss above it"
    return "a loss above it sends no gradient down to it"
