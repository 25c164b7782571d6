"""Findings: what in a net is wrong, surprising or worth knowing; each with an id, a level, a place and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from math import isfinite
from typing import Any

from conformance.audit.document import Document
from conformance.audit.graph import Graph, Place, is_loss
from conformance.audit.meaning import Meaning, meaning_of
from conformance.audit.paper import is_known
from conformance.audit.terms import trained, unasked
from conformance.losses import loss_of_type
from conformance.losses.roles import Matrix
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter

__all__ = ["IDS", "Finding", "Level", "findings_of"]


class Level(str, Enum):
    """``error``: the net cannot be built, or trains something else than it says."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """``layer`` and ``line`` are where; 0 where the whole net is meant."""

    id: str
    level: Level
    sentence: str
    layer: str = ""
    line: int = 0

    @property
    def page(self) -> str:
        """Where to read about it."""
        return f"docs/audit.md#{self.id}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "level": self.level.value, "page": self.page}


_SHOWN = 4

Found = Iterator[tuple[Level, Place, str]]

Look = Callable[[Document, Graph], Found]


def findings_of(document: Document, graph: Graph) -> list[Finding]:
    """Everything that is found, errors first, each kind in the net's order."""
    found = [
        Finding(name, level, sentence, *place)
        for name, look in IDS.items()
        for level, place, sentence in look(document, graph)
    ]
    order = list(Level)
    return sorted(dict.fromkeys(found), key=lambda finding: (order.index(finding.level), finding.line))


def _layers(graph: Graph) -> Iterator[tuple[LayerParameter, Place]]:
    return ((layer, graph.place(at)) for at, layer in enumerate(graph.layers))


def _not_fed(document: Document, graph: Graph) -> Found:
    missing = {stopped.missing: stopped.place for stopped in reversed(graph.stopped) if stopped.missing}
    if missing:
        names = ", ".join(map(repr, reversed(missing)))
        yield (
            Level.ERROR,
            list(missing.values())[-1],
            f"nothing feeds {names} in phase {graph.phase}{_elsewhere(document, graph, set(missing))}",
        )


def _elsewhere(document: Document, graph: Graph, missing: set[str]) -> str:
    """Where the blobs that nobody makes could come from."""
    other = "TEST" if graph.phase == "TRAIN" else "TRAIN"
    there = [layer for layer in document.net.layer if any(rule.phase == other for rule in layer.include)]
    if missing & {top for layer in there for top in layer.top}:
        return f": try --phase {other}"
    stages = {stage for layer in document.net.layer for rule in layer.include for stage in rule.stage}
    if stages and missing & {top for layer in document.net.layer for top in layer.top}:
        return f": try --stage {' or --stage '.join(sorted(stages))}"
    return ": no layer makes it" if len(missing) == 1 else ": no layer makes them"


def _not_built(document: Document, graph: Graph) -> Found:
    first = {stopped.place: stopped for stopped in reversed(graph.stopped) if not stopped.missing}
    for place, stopped in first.items():
        said = "BVLC Caffe cannot build the net, a fork may" if stopped.forked else "Caffe cannot build the net"
        yield Level.NOTE if stopped.forked else Level.ERROR, place, f"{said}: {stopped.reason}"


def _consumed_losses(graph: Graph) -> Iterator[tuple[int, list[int]]]:
    """The indices of a loss whose top is taken, and of who takes it."""
    for at, layer in enumerate(graph.layers):
        if is_loss(layer.type) and layer.top:
            readers = [other for other in graph.readers(layer.top[0]) if other != at]
            if readers:
                yield at, readers


def _silenced(document: Document, graph: Graph) -> Found:
    for at, readers in _consumed_losses(graph):
        if graph.layers[at].loss_weight or not _learns_below(graph, at):
            continue
        names = ", ".join(graph.layers[other].name for other in readers)
        if any(graph.index(other) in graph.under_loss for other in readers):
            why = f"{names} takes its top, and the gradient that comes back overwrites a weight that is implicit"
        else:
            why = f"{names} takes its top and has no gradient, and a weight that is implicit is no use of its own"
        known = is_known(graph.layers[at].type)
        yield (
            Level.ERROR if known else Level.NOTE,
            graph.place(at),
            f"{'its loss counts' if known else 'if it counts unasked, its loss does'} and trains nothing: {why}; "
            "give loss_weight, or take the reader away",
        )


def _learns_below(graph: Graph, at: int) -> bool:
    wanted = list(graph.layers[at].bottom)
    seen = set(wanted)
    while wanted:
        maker = graph.makers.get(wanted.pop())
        if maker is None:
            continue
        if graph.node(maker).layer.blobs:
            return True
        below = graph.layers[maker].bottom
        wanted += [blob for blob in below if blob not in seen]
        seen.update(below)
    return False


def _counted_twice(document: Document, graph: Graph) -> Found:
    for at, readers in _consumed_losses(graph):
        weights = graph.layers[at].loss_weight
        if weights and weights[0]:
            names = ", ".join(graph.layers[other].name for other in readers)
            yield (
                Level.WARNING if is_known(graph.layers[at].type) else Level.NOTE,
                graph.place(at),
                f"Caffe reports its loss {weights[0]:g} + 1 times, because {names} takes its top: "
                "the weight moves to a Split and the implicit one is added; the gradient keeps to the weight",
            )


def _weights_lost(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        weighted = [top for top, weight in zip(layer.top, layer.loss_weight, strict=False) if weight]
        read = [top for top in weighted if graph.readers(top)]
        lost = [top for top in weighted if top not in read]
        if read and lost:
            yield (
                Level.ERROR,
                place,
                f"the weights of {', '.join(lost)} are lost, because {read[0]} is "
                "read by another layer: its Split takes all of the layer's weights away",
            )


def _scratch(document: Document, graph: Graph) -> Found:
    """Beside a loss that leaves its margins where its gradient would be, and runs no backward to replace them."""
    trained = {name for node in graph.nodes if node.need_backward and node.type == "Split" for name in node.tops}
    for at, layer in enumerate(graph.layers):
        node = graph.node(at)
        scratch = layer.type in REGISTRY and any(quirk.name == "hinge-scratch" for quirk in REGISTRY[layer.type].quirks)
        if scratch and node.bottoms and node.bottoms[0] in trained and not node.bottom_need_backward[0]:
            yield (
                Level.ERROR,
                graph.place(at),
                f"it sends no gradient to {layer.bottom[0]}, and leaves its margins there: Caffe adds them to the "
                "gradient of those who share the blob; leave the layer out of this phase, or weigh it",
            )


def _zero(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        if is_loss(layer.type) and layer.loss_weight and not any(layer.loss_weight):
            yield Level.NOTE, place, "its loss_weight is 0: it is reported, does not count and trains nothing"


def _negative(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        if any(weight < 0 for weight in layer.loss_weight):
            yield Level.WARNING, place, "its loss_weight is negative: training makes this loss larger"


def _not_finite(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        if not all(map(isfinite, layer.loss_weight)):
            yield Level.WARNING, place, "its loss_weight is no number: neither the loss nor its gradients are"


def _plain_layers(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        if any(layer.loss_weight) and not is_loss(layer.type) and layer.type != "Python" and is_known(layer.type):
            yield Level.NOTE, place, "no loss layer, but weighted: every entry of its top counts, undivided"


def _no_loss(document: Document, graph: Graph) -> Found:
    if not any(any(node.loss_weights) for node in graph.nodes):
        meant = any(is_loss(layer.type) or layer.loss_weight for layer in document.net.layer)
        level = Level.WARNING if meant else Level.NOTE
        yield level, Place(), "no top has a weight: the loss is 0 and nothing is trained"


def _not_trained(document: Document, graph: Graph) -> Found:
    if not any(any(node.loss_weights) for node in graph.nodes):
        return
    reasons: dict[str, list[int]] = {}
    for at, why in trained(graph):
        if why:
            reasons.setdefault(why, []).append(at)
    for why, still in reasons.items():
        blocked = why.startswith("a loss above") and not any(_may_be_loss(graph, layer) for layer in graph.layers)
        names = _listed([graph.layers[at].name for at in still])
        yield Level.WARNING if blocked else Level.NOTE, graph.place(still[0]), f"{names} not trained: {why}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _listed(names: list[str]) -> str:
    return f"{_some(names)} {'are' if len(names) > 1 else 'is'}"


def _backward_fatal(document: Document, graph: Graph) -> Found:
    for node, at in zip(graph.nodes, graph.origins, strict=True):
        loss = loss_of_type(node.type)
        for bottom, needed in zip(loss.bottoms if loss else (), node.bottom_need_backward, strict=False):
            if needed and isinstance(bottom.role, Matrix):
                yield (
                    Level.ERROR,
                    graph.place(at),
                    f"its {bottom.name} is asked for a gradient: Caffe stops in backward",
                )
        if node.need_backward and not node.layer.has_backward and any(node.bottom_need_backward):
            yield (
                Level.ERROR,
                graph.place(at),
                f"{node.type} has no backward, and the net runs it backward: Caffe stops there",
            )


def _label_path(document: Document, graph: Graph) -> Found:
    for node, at in zip(graph.nodes, graph.origins, strict=True):
        loss = loss_of_type(node.type)
        if loss is None or not loss.answer_takes_no_gradient or not node.need_backward or len(node.bottoms) < 2:
            continue
        if node.bottom_need_backward[1]:
            maker = graph.makers.get(graph.layers[at].bottom[1])
            asked = node.layer.param.propagate_down
            yield (
                Level.ERROR if maker is None or asked or is_known(graph.layers[maker].type) else Level.NOTE,
                graph.place(at),
                f"{'propagate_down asks for a gradient of' if asked else 'something that learns lies under'} its "
                "labels: Caffe stops in backward; give propagate_down: true propagate_down: false",
            )


def _options_without_use(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        loss = loss_of_type(layer.type)
        if loss is None:
            continue
        unread = sorted(name for name in layer.loss_param.present if f"loss_param.{name}" not in loss.options)
        if unread:
            yield Level.WARNING, place, f"{layer.type} does not read {', '.join(unread)} of loss_param"


def _python(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        last = layer.top and not any(graph.readers(top) for top in layer.top)
        if layer.type == "Python" and last and not layer.loss_weight and "loss" in f"{layer.name} {layer.top}".lower():
            yield (
                Level.WARNING,
                place,
                "a Python layer has no implicit weight, whatever it is called: give loss_weight: 1 if it is a loss",
            )


def _fork_types(graph: Graph, losses: bool) -> Iterator[tuple[str, list[int]]]:
    """The types that only forks have, each with the indices of its layers."""
    kinds: dict[str, list[int]] = {}
    for at, layer in enumerate(graph.layers):
        if not is_known(layer.type) and is_loss(layer.type) is losses:
            kinds.setdefault(layer.type, []).append(at)
    yield from kinds.items()


def _weight_by_fork(document: Document, graph: Graph) -> Found:
    for layer, place in _layers(graph):
        if layer.loss_weight or not layer.top or not is_known(layer.type):
            continue
        if rules := unasked(layer.type, meaning_of(document, layer, place.line)):
            zero = [who for who, weight in rules if weight == 0]
            others = [who for who, weight in rules if weight]
            one = f", 1 in {_some(others)}" if others else ", and trains nothing"
            yield Level.WARNING, place, f"without loss_weight it weighs 0 in {_some(zero)}{one}: give loss_weight"


def _unknown_losses(document: Document, graph: Graph) -> Found:
    for kind, layers in _fork_types(graph, losses=True):
        said = f"{kind} ({len(layers)} in the net) is a fork's: what it computes is not known"
        if not all(graph.layers[at].loss_weight for at in layers):
            each = " and ".join(f"{weight:g} by {who}" for who, weight in unasked(kind, Meaning()))
            said += f"; without loss_weight it weighs {each}; 1 is taken here"
        yield Level.NOTE, graph.place(layers[0]), said


def _unknown_types(document: Document, graph: Graph) -> Found:
    for kind, layers in _fork_types(graph, losses=False):
        said = "it is taken to have a backward and as many learnable blobs as it has param"
        if any(_may_be_loss(graph, graph.layers[at]) for at in layers):
            said += "; nobody takes its top: if it derives from LossLayer, it counts with weight 1"
        yield Level.NOTE, graph.place(layers[0]), f"{kind} ({len(layers)} in the net) is a fork's: {said}"


def _may_be_loss(graph: Graph, layer: LayerParameter) -> bool:
    """Whether it is of a fork's type that weighs 1 unasked if it is a loss, although its name does not say so."""
    last = layer.bottom and layer.top and not any(map(graph.readers, layer.top))
    return bool(last) and not (layer.loss_weight or is_known(layer.type) or is_loss(layer.type))


def _foreign(document: Document, graph: Graph) -> Found:
    for name, count in Counter(f"{each.kind} {each.name}" for each in document.foreign).items():
        times = f", {count} times" if count > 1 else ""
        if name.endswith((" of include.phase", " of exclude.phase")):
            yield Level.NOTE, Place(), f"not Caffe's: {name}{times}: a rule that asks for it is taken never to hold"
        elif name.startswith("value ") and ".normalization" in name:
            yield (
                Level.WARNING,
                Place(),
                f"not Caffe's: {name}{times}: what that loss is divided by is the fork's to say",
            )
        elif not name.startswith("message "):
            yield Level.NOTE, Place(), f"not Caffe's: {name}{times}, left out"


IDS: dict[str, Look] = {
    "not-fed": _not_fed,
    "not-built": _not_built,
    "loss-silenced": _silenced,
    "loss-counted-twice": _counted_twice,
    "weights-lost": _weights_lost,
    "scratch-as-gradient": _scratch,
    "backward-fatal": _backward_fatal,
    "label-path": _label_path,
    "no-loss": _no_loss,
    "not-trained": _not_trained,
    "negative-weight": _negative,
    "weight-not-finite": _not_finite,
    "option-without-use": _options_without_use,
    "python-without-weight": _python,
    "weight-by-fork": _weight_by_fork,
    "zero-weight": _zero,
    "plain-layer-weighted": _plain_layers,
    "unknown-loss": _unknown_losses,
    "unknown-type": _unknown_types,
    "foreign": _foreign,
}
"""What is looked for, by its id; docs/audit.md has a section for each."""
