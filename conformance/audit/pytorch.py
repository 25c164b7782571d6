"""A net's loss in PyTorch's words: a Python module with a function for each kind of term and one for their sum."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.audit.audit import Audit
from conformance.audit.graph import is_loss
from conformance.audit.meaning import meaning_of
from conformance.audit.paper import is_known
from conformance.audit.terms import AGAIN, Term
from conformance.contract.errors import one_line
from conformance.losses.expression import NoExpression, number
from conformance.losses.loss import Loss
from refimpl.messages import LayerParameter

__all__ = ["in_pytorch"]


def in_pytorch(audit: Audit) -> str:
    """The module. Its ``total`` takes the blobs by their names in the net and gives the net's loss.

    A term that has no expression is taken from the blobs as it is, by the name of its top, and the module says why.
    """
    functions: dict[tuple[Loss, tuple[str, ...], str], str] = {}
    body: list[str] = []
    silenced = {(found.layer, found.line) for found in audit.findings if found.id == "loss-silenced"}
    for term in audit.terms:
        if term.origin == AGAIN:
            body.append(
                f"    # {one_line(term.layer)} counts once more in what Caffe reports, and is not trained once more"
            )
            continue
        layer = audit.graph.layers[term.index]
        where = f"{one_line(term.layer)} ({one_line(term.type)})"
        try:
            loss, text = _expression(audit, term, layer)
        except NoExpression as reason:
            body += _lines(term, f"blobs[{term.place!r}].sum()", f"{where}: {reason}")
            continue
        names = loss.names[: len(layer.bottom)]
        taken = [name for (other, _, _), name in functions.items() if other is loss]
        fresh = f"{loss.stem}_{len(taken) + 1}" if taken else loss.stem
        function = functions.setdefault((loss, names, text), fresh)
        value = f"{function}({', '.join(_arguments(layer, loss))})"
        if (term.layer, term.line) in silenced:
            value, where = f"{value}.detach()", f"{where}: its reader leaves it no gradient of its own"
        body += _lines(term, value, where)
    return "\n".join(_module(audit, functions, body)) + "\n"


def _module(audit: Audit, functions: dict[tuple[Loss, tuple[str, ...], str], str], body: list[str]) -> Iterator[str]:
    yield f"# The loss of {one_line(audit.document.path)}, phase {audit.phase} (docs/audit.md#in-pytorch)."
    texts = [text for _, _, text in functions]
    for module in ("math", "torch"):
        if any(f"{module}." in text for text in texts):
            yield f"import {module}"
    if any("F." in text for text in texts):
        yield "from torch.nn import functional as F"
    for (_, names, text), function in functions.items():
        *steps, value = text.splitlines()
        yield from ("", "", f"def {function}({', '.join(names)}):")
        yield from (f"    {step}" for step in steps)
        yield f"    return {value}"
    yield from ("", "", "def total(blobs):", "    loss = 0.0")
    yield from body
    if audit.document.iter_size > 1:
        yield f"    # The solver divides by iter_size; add up the gradients of {audit.document.iter_size} batches."
        yield f"    loss = loss / {audit.document.iter_size}"
    yield "    return loss"


def _lines(term: Term, value: str, comment: str) -> Iterator[str]:
    yield f"    # {comment}"
    yield f"    loss = loss + {number(term.weight)} * {value}"


def _arguments(layer: LayerParameter, loss: Loss) -> Iterator[str]:
    """The bottoms; one that propagate_down keeps from its gradient is detached."""
    downs = (*layer.propagate_down, *[True] * len(layer.bottom))
    for name, down, bottom in zip(layer.bottom, downs, loss.bottoms, strict=False):
        yield f"blobs[{name!r}]" + ("" if down or not bottom.learns else ".detach()")


def _expression(audit: Audit, term: Term, layer: LayerParameter) -> tuple[Loss, str]:
    """Raises `NoExpression`."""
    meaning = meaning_of(audit.document, layer, term.line)
    loss = meaning.loss
    if layer.top and term.top != layer.top[0]:
        raise NoExpression("a further top of the layer; its entries are added up")
    if layer.type == "Python":
        raise NoExpression(f"what it computes is in {layer.python_param.module}.py; its entries are added up")
    if loss is None and is_known(layer.type) and not is_loss(layer.type):
        raise NoExpression("no loss layer; its entries are added up")
    if loss is None:
        raise NoExpression("a fork's loss that is not described here")
    if meaning.departs:
        raise NoExpression(meaning.departs)
    if loss.expression is None:
        raise NoExpression("nobody has written it in PyTorch")
    if len(layer.bottom) < len(loss.needed) - any(bottom.file for bottom in loss.needed):
        raise NoExpression("one of its bottoms is made by no layer")
    return loss, loss.expression(layer)
