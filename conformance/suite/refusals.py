"""Refusals: nets that BVLC Caffe refuses, each at its stage: when it is built, in its forward or its backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.judge.reference import build, run_steps
from conformance.losses import KNOWN, LOSSES, Loss
from conformance.losses.nets import layer, source
from conformance.losses.options import options_text
from conformance.losses.roles import Shape
from conformance.suite.judged import bundle
from conformance.suite.stock import CLASSIFIER, DISTANCE, MARGINS
from refimpl.errors import NetError

__all__ = ["RefusedNet", "checks", "refused_nets"]

FAMILY = "refusals"


@dataclass(frozen=True)
class RefusedNet:
    """A net that is refused at ``stage`` (parse, setup, forward or backward) for what ``refusal.<facet>`` is about.

    ``place`` is the stem of the loss that it holds, "net" or "prototxt"; ``fields`` are further fields of `Case`.
    """

    place: str
    name: str
    facet: str
    stage: str
    net: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def case(self) -> Case:
        return Case(f"{FAMILY}/{self.place}/{self.name}", self.net, **self.fields)

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((f"refusal.{self.facet}", f"refusal.{self.stage}")))


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """A check for each loss layer, one for the net and one for its text."""
    nets: dict[str, list[RefusedNet]] = {}
    for net in refused_nets(losses):
        nets.setdefault(net.place, []).append(net)
    for place, refused in nets.items():
        cases = [(net.case(), net.requirements) for net in refused]
        types = (KNOWN[place].type,) if place in KNOWN else ()
        yield bundle(f"{FAMILY}/{place}", place if place in KNOWN else "net", cases, layer_types=types, needs_net=True)


def refused_nets(losses: Mapping[str, Loss] = LOSSES) -> Iterator[RefusedNet]:
    for loss in losses.values():
        yield from filter(_refuses, _of_loss(loss)) if loss.layer.forms else _of_loss(loss)
    if losses is LOSSES:
        yield from _around()
        yield from _learnt()
        yield from _texts()


def _refuses(net: RefusedNet) -> bool:
    """Whether the reference refuses the net: forks leave out checks that Caffe makes."""
    case = net.case()
    try:
        run_steps(build(case), case)
    except NetError:
        return True
    return False


def _of_loss(loss: Loss) -> Iterator[RefusedNet]:
    yield from (*_counts(loss), *_batches(loss), *_labels(loss), *_in_place(loss), *_axes(loss))
    for own in loss.refused:
        yield _changed(
            loss,
            own.name,
            own.facet,
            own.stage,
            declared=own.declared,
            fed=own.fed,
            bottoms=own.bottoms,
            options=options_text(own.options),
            files=own.files,
        )


_SCORES = (2, 3)
"""The first bottom of a loss that is not refused."""


def _shapes(loss: Loss) -> dict[str, Shape]:
    """The bottoms of a loss that is not refused."""
    shapes = loss.shapes(_SCORES, {})
    return {name: shape if len(shape) < 4 else shape[2:] for name, shape in shapes.items()}


def _zeros(shapes: Mapping[str, Shape]) -> dict[str, Array]:
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _changed(
    loss: Loss,
    name: str,
    facet: str,
    stage: str = "setup",
    *,
    declared: Mapping[str, Shape] | None = None,
    fed: Mapping[str, Shape] | None = None,
    learnt: Sequence[str] = (),
    bottoms: Sequence[str] | None = None,
    tops: Sequence[str] = ("loss",),
    weights: Sequence[float] = (),
    options: str = "",
    **fields: Any,
) -> RefusedNet:
    """The loss over inputs, changed in one thing: a shape, the list of bottoms or tops, an option."""
    shapes = {**_shapes(loss), **(declared or {})}
    net = "".join(source(blob, shape, blob in learnt) for blob, shape in shapes.items())
    options = f"{options_text(loss.completed(_SCORES, {}))} {options}".strip()
    net += layer("loss", loss.type, shapes if bottoms is None else bottoms, tops, weights, options)
    inputs = _zeros({blob: shape for blob, shape in {**shapes, **(fed or {})}.items() if blob not in learnt})
    return RefusedNet(loss.stem, name, facet, stage, net, {"inputs": inputs, "forms": loss.forms, **fields})


def _asking(*asks: bool) -> str:
    return " ".join(f"propagate_down: {str(ask).lower()}" for ask in asks)


def _counts(loss: Loss) -> Iterator[RefusedNet]:
    """Too few or too many bottoms, tops, weights and propagate_downs."""
    names = list(_shapes(loss))
    fewest = sum(not bottom.optional for bottom in loss.bottoms)
    for count in (fewest - 1, len(loss.bottoms) + 1):
        yield _changed(loss, f"{count}-bottoms", "bottom-count", bottoms=(names * count)[:count])
    most = loss.layer.max_tops or 1
    tops = ("loss", "second", "third", "fourth")
    yield _changed(loss, f"{most + 1}-tops", "top-count", tops=tops[: most + 1])
    for count in (2, 3):
        yield _changed(loss, f"{count}-weights", "loss-weight-count", weights=(1.0, 0.5, 2.0)[:count])
    if most == 2:
        yield _changed(loss, "2-tops-1-weight", "loss-weight-count", tops=tops[:2], weights=(1.0,))
        yield _changed(loss, "2-tops-3-weights", "loss-weight-count", tops=tops[:2], weights=(1.0, 0.0, 0.0))
    for count in (1, len(names) + 1):
        yield _changed(loss, f"{count}-propagate-down", "propagate-down-count", options=_asking(*[True] * count))
    for bottom in ("nowhere", "loss"):
        yield _changed(loss, f"bottom-{bottom}", "unknown-bottom", bottoms=[bottom, *names[1:]])


def _batches(loss: Loss) -> Iterator[RefusedNet]:
    """A second bottom of another batch than the first, declared or fed; a batch of none; a bottom without axes."""
    shapes, second = _shapes(loss), loss.names[1]
    longer = {second: (3, *shapes[second][1:])}
    yield _changed(loss, "batch-mismatch", "batch-mismatch", declared=longer)
    yield _changed(loss, "batch-mismatch-fed", "batch-mismatch", "forward", fed=longer)
    none = {b.name: (0, *shapes[b.name][1:]) if b.role.by_item else shapes[b.name] for b in loss.needed}
    yield _changed(loss, "empty-batch", "empty-batch", "setup" if loss.axis_option else "forward", declared=none)
    yield _changed(loss, "label-without-axes", "axis", declared={second: ()})


def _labels(loss: Loss) -> Iterator[RefusedNet]:
    """A gradient asked for into class labels or targets, by a learnable label or by propagate_down."""
    if not loss.answer_takes_no_gradient:
        return
    first, second, *further = loss.names
    yield _changed(loss, "learnt-label", "label-gradient", "backward", learnt=[first, second])
    asks = _asking(True, True, *[False] * len(further))
    yield _changed(loss, "label-propagates", "label-gradient", "backward", learnt=[first], options=asks)


def _in_place(loss: Loss) -> Iterator[RefusedNet]:
    """The loss as one of its own bottoms; as the first where the shape of what it then is does not fit."""
    yield _changed(loss, "in-place-label", "in-place-label", tops=[loss.names[1]])
    if loss.unit != "sample":
        yield _changed(loss, "in-place-scores", "in-place-label", tops=[loss.names[0]])


def _axes(loss: Loss) -> Iterator[RefusedNet]:
    """Axes that the scores do not have."""
    if not loss.axis_option:
        return
    for axis in (2, -3):
        yield _changed(loss, f"axis-{axis}", "axis", options=options_text({loss.axis_option: axis}))
    yield _changed(loss, "scores-of-one-axis", "axis", declared={loss.names[0]: (2,)})


_X, _Y = source("x", (2, 3)), source("y", (2,))
_FED: Mapping[str, Any] = {"inputs": _zeros({"x": (2, 3), "y": (2,)})}
_FED_X: Mapping[str, Any] = {"inputs": _zeros({"x": (2, 3)})}


def _around() -> Iterator[RefusedNet]:
    """What is refused of the layers around a loss, and of how they hang together."""

    def net(name: str, facet: str, text: str, stage: str = "setup", fields: Mapping[str, Any] = _FED_X) -> RefusedNet:
        return RefusedNet("net", name, facet, stage, text, fields)

    yield net("accuracy-without-top", "layer-counts", _X + _Y + layer("a", "Accuracy", ["x", "y"], ()), fields=_FED)
    yield net("silence-with-top", "layer-counts", _X + layer("s", "Silence", ["x"], ["t"]))
    yield net("power-of-two", "layer-counts", _X + _Y + layer("p", "Power", ["x", "y"]), fields=_FED)
    yield net("silence-with-weight", "loss-weight-count", _X + layer("s", "Silence", ["x"], (), (1.0,)))
    cut = "slice_param { slice_point: 1 }"
    yield net("slice-with-one-weight", "loss-weight-count", _X + layer("c", "Slice", ["x"], ["a", "b"], (1.0,), cut))
    for name in (CLASSIFIER.type.lower(), "SoftmaxLoss", "NoSuchLoss"):
        yield net(f"type-{name}", "unknown-type", _X + _Y + layer("loss", name, ["x", "y"]), fields=_FED)
    rules = "include { phase: TRAIN } exclude { phase: TEST }"
    yield net("include-and-exclude", "rules", _X + layer("p", "Power", ["x"], options=rules))
    yield net("used-before-it-is-made", "unknown-bottom", layer("p", "Power", ["x"]) + _X)
    yield net(
        "one-top-of-two-layers", "duplicate-top", _X + layer("p", "Power", ["x"]) + layer("q", "Power", ["x"], ["p"])
    )
    yield net("one-top-twice", "duplicate-top", _X + layer("c", "Slice", ["x"], ["a", "a"], options=cut))
    relu = layer("r", "ReLU", ["p"], ["p"])
    yield net("weighted-and-in-place", "in-place-shared", _X + layer("p", "Power", ["x"], weights=(2.0,)) + relu)
    read = layer("q", "Power", ["p"])
    yield net("read-and-in-place", "in-place-shared", _X + layer("p", "Power", ["x"]) + read + relu)
    for kind, param in (("Accuracy", "accuracy_param"), ("ArgMax", "argmax_param")):
        bottoms = ["x", "y"] if kind == "Accuracy" else ["x"]
        options = f"{param} {{ top_k: {4 if kind == 'Accuracy' else 7} }}"
        yield net(f"{kind.lower()}-top-k", "top-k", _X + _Y + layer("a", kind, bottoms, options=options), fields=_FED)
    for axis in (2, -3):
        options = f"reduction_param {{ axis: {axis} }}"
        yield net(f"reduction-axis-{axis}", "axis", _X + layer("r", "Reduction", ["x"], options=options))
    unweighted = _X + layer("loss", DISTANCE.type, ["x", "x"], weights=(0.0,))
    reduced = layer("r", "Reduction", ["loss"], options="reduction_param { axis: 1 }")
    yield net("reduced-loss", "axis", unweighted + reduced)
    yield net("nothing-in-it", "empty-net", 'name: "empty"\n', "forward", {})


def _learnt() -> Iterator[RefusedNet]:
    """What is refused of parameters, and of gradients where there is no backward pass."""

    def product(name: str, outputs: int, params: str) -> str:
        return layer(name, "InnerProduct", ["x"], options=f"{params} inner_product_param {{ num_output: {outputs} }}")

    def net(name: str, facet: str, text: str, stage: str = "setup", fields: Mapping[str, Any] = _FED_X) -> RefusedNet:
        return RefusedNet("net", name, facet, stage, text, fields)

    shared = 'param { name: "w" } '
    loosely = 'param { name: "w" share_mode: PERMISSIVE } '
    yield net("shared-shapes-differ", "parameter-sharing", _X + product("a", 2, shared) + product("b", 3, shared))
    yield net("shared-counts-differ", "parameter-sharing", _X + product("a", 2, loosely) + product("b", 3, loosely))
    yield net("three-params-for-two", "param-count", _X + product("a", 2, "param { } " * 3))
    trunk = _X + product("h", 3, "") + _Y
    for kind, bottoms in (("Accuracy", ["h", "y"]), ("ArgMax", ["h"])):
        text = trunk + layer("a", kind, bottoms, weights=(1.0,))
        yield net(f"{kind.lower()}-with-weight", "no-backward", text, "backward", _FED)


_LOSS = f'layer {{ name: "loss" type: "{DISTANCE.type}" bottom: "x" bottom: "x" top: "loss" %s }}\n'

_TEXTS: dict[str, tuple[str, str]] = {
    "unknown-field": ("prototxt", _LOSS % "loss_wieght: 1"),
    "unknown-message": ("prototxt", _LOSS % "loss_parm { }"),
    "unknown-field-inside": ("prototxt", _LOSS % "loss_param { ignore: 1 }"),
    "unknown-enum": ("prototxt", _LOSS % "loss_param { normalization: MEAN }"),
    "lower-case-enum": ("prototxt", _LOSS % "loss_param { normalization: valid }"),
    "unknown-norm": ("prototxt", _LOSS % options_text({next(iter(MARGINS.options)): "L3"})),
    "unknown-v1-type": (
        "prototxt",
        f'layers {{ name: "loss" type: {CLASSIFIER.stem.upper()} bottom: "x" bottom: "x" top: "loss" }}',
    ),
    "word-for-number": ("parse", _LOSS % "loss_weight: one"),
    "fraction-for-integer": ("parse", _LOSS % "loss_param { ignore_label: 1.5 }"),
    "integer-too-large": ("parse", _LOSS % "loss_param { ignore_label: 3000000000 }"),
    "negative-count": ("parse", _LOSS % "inner_product_param { num_output: -1 }"),
    "number-for-boolean": ("parse", _LOSS % "loss_param { normalize: 2 }"),
    "number-for-string": ("parse", 'layer { name: 1 type: "Power" bottom: "x" top: "p" }'),
    "number-for-message": ("parse", _LOSS % "loss_param: 1"),
    "brace-missing": ("parse", 'layer { name: "p" type: "Power" bottom: "x" top: "p"'),
    "brace-too-many": ("parse", _LOSS % "" + "}"),
    "quote-missing": ("parse", 'layer { name: "p type: "Power" bottom: "x" top: "p" }'),
    "value-missing": ("parse", _LOSS % "loss_weight:"),
    "two-formats": ("mixed-formats", 'layers { name: "p" type: POWER bottom: "x" top: "p" }' + _LOSS % ""),
}
"""Texts that are no net, after an Input: the facet that each is about, and what is wrong with it."""


def _texts() -> Iterator[RefusedNet]:
    for name, (facet, text) in _TEXTS.items():
        yield RefusedNet("prototxt", name, facet, "parse", _X + text, _FED_X)
