"""Meaning: what is known of a loss layer's type, and whether this net's options leave it at that."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.audit.document import Document
from conformance.losses import Loss, loss_of_type
from refimpl.layer import Layer, LossLayer
from refimpl.layers import FORMS, REGISTRY
from refimpl.messages import LayerParameter

__all__ = ["Meaning", "meaning_of"]


@dataclass(frozen=True)
class Meaning:
    """``loss`` is the description of the type, if there is one.

    ``forms`` are what forks mean by the type, those of them that have the layer's options. ``departs`` says why the
    description's formula does not hold; empty where it does. ``weights`` are what the forms give the first top unasked.
    """

    loss: Loss | None = None
    forms: tuple[str, ...] = ()
    departs: str = ""
    weights: tuple[tuple[str, float], ...] = ()


def meaning_of(document: Document, layer: LayerParameter, line: int) -> Meaning:
    """What a layer of the net, which begins on a line, means by its type."""
    loss = loss_of_type(layer.type)
    if loss is not None and loss.feeds is not None:
        loss = None  # what a head computes is no loss, whatever its top weighs
    classes = [each for each in FORMS.get(layer.type, ()) if _reads(each, layer)]
    own = REGISTRY.get(layer.type) in classes
    forms = tuple(form.name for each in classes for form in each.forms)
    weights = tuple(
        (form.name, float(each.implicit_weight))
        for each in classes
        if issubclass(each, LossLayer)
        for form in each.forms
    )
    departs = ""
    if loss is not None:
        foreign = document.foreign_at(line)
        if foreign:
            departs = f"{', '.join(foreign)} is a fork's"
        elif not own:
            departs = f"its options are those of the form {' or '.join(forms)}" if forms else "its options are a fork's"
        elif len(layer.bottom) > len(loss.bottoms):
            departs = f"{len(layer.bottom)} bottoms are a fork's"
        elif len(layer.top) > (loss.layer.exact_tops or loss.layer.max_tops or len(layer.top)):
            departs = f"{len(layer.top)} tops are a fork's"
    if own and not all(each.forms for each in classes):
        return Meaning(loss, (), departs)
    return Meaning(loss, forms, departs, weights)


def _reads(kind: type[Layer], layer: LayerParameter) -> bool:
    """Whether a class can read those of the layer's blocks that only forks can."""
    names = {name for each in FORMS[layer.type] for name in each.messages if name in layer.extra}
    return all(name in kind.messages and (name, kind.messages[name]) in layer.own for name in names)
