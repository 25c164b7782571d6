"""Refusals: nets that BVLC Caffe refuses, each at its stage: when it is built, in its forward or its backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.judge.serving import STEMS
from conformance.losses.nets import layer, source
from conformance.suite.judged import bundle

__all__ = ["Refused", "checks", "refused_nets"]

FAMILY = "refusals"


@dataclass(frozen=True)
class Refused:
    """A net that is refused at ``stage`` (parse, setup, forward or backward) for what ``refusal.<facet>`` is about.

    ``place`` is the stem of the loss layer that it holds, "net" or "prototxt"; ``fields`` are further fields of `Case`.
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


def checks() -> Iterator[Check]:
    """A check for each loss layer, one for the net and one for its text."""
    nets = list(refused_nets())
    for place in dict.fromkeys(net.place for net in nets):
        cases = [(net.case(), net.requirements) for net in nets if net.place == place]
        types = (STEMS[place],) if place in STEMS else ()
        yield bundle(f"{FAMILY}/{place}", place if place in STEMS else "net", cases, layer_types=types, needs_net=True)


def refused_nets() -> Iterator[Refused]:
    for stem in STEMS:
        yield from _counts(stem)
        yield from _batches(stem)
        yield from _labels(stem)
        yield from _in_place(stem)
    yield from _label_counts()
    yield from _axes()
    yield from _pairs()
    yield from _matrices()
    yield from _around()
    yield from _learnt()
    yield from _texts()


Shape = tuple[int, ...]

_SHAPES: dict[str, dict[str, Shape]] = {
    "contrastive_loss": {"x": (2, 3), "z": (2, 3), "s": (2,)},
    "euclidean_loss": {"x": (2, 3), "z": (2, 3)},
    "hinge_loss": {"x": (2, 3), "y": (2,)},
    "infogain_loss": {"x": (2, 3), "y": (2,), "H": (3, 3)},
    "multinomial_logistic_loss": {"x": (2, 3), "y": (2,)},
    "sigmoid_cross_entropy_loss": {"x": (2, 3), "t": (2, 3)},
    "softmax_with_loss": {"x": (2, 3), "y": (2,)},
}
"""The bottoms of a loss that is not refused."""

_TWO_TOPS = ("infogain_loss", "softmax_with_loss")
_CLASS_LABELS = (
    "hinge_loss",
    "infogain_loss",
    "multinomial_logistic_loss",
    "sigmoid_cross_entropy_loss",
    "softmax_with_loss",
)


def _zeros(shapes: Mapping[str, Shape]) -> dict[str, Array]:
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _loss(
    stem: str,
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
) -> Refused:
    """The loss of ``stem`` over inputs, changed in one thing: a shape, the list of bottoms or tops, an option."""
    shapes = {**_SHAPES[stem], **(declared or {})}
    net = "".join(source(blob, shape, blob in learnt) for blob, shape in shapes.items())
    net += layer("loss", STEMS[stem], shapes if bottoms is None else bottoms, tops, weights, options)
    inputs = _zeros({blob: shape for blob, shape in {**shapes, **(fed or {})}.items() if blob not in learnt})
    return Refused(stem, name, facet, stage, net, {"inputs": inputs, **fields})


def _asking(*asks: bool) -> str:
    return " ".join(f"propagate_down: {str(ask).lower()}" for ask in asks)


def _counts(stem: str) -> Iterator[Refused]:
    """Too few or too many bottoms, tops, weights and propagate_downs."""
    names = list(_SHAPES[stem])
    fewest = 2 if stem == "infogain_loss" else len(names)
    for count in (fewest - 1, len(names) + 1):
        yield _loss(stem, f"{count}-bottoms", "bottom-count", bottoms=(names * 2)[:count])
    most = 2 if stem in _TWO_TOPS else 1
    tops = ("loss", "second", "third")
    yield _loss(stem, f"{most + 1}-tops", "top-count", tops=tops[: most + 1])
    for count in (2, 3):
        yield _loss(stem, f"{count}-weights", "loss-weight-count", weights=(1.0, 0.5, 2.0)[:count])
    if most == 2:
        yield _loss(stem, "2-tops-1-weight", "loss-weight-count", tops=tops[:2], weights=(1.0,))
        yield _loss(stem, "2-tops-3-weights", "loss-weight-count", tops=tops[:2], weights=(1.0, 0.0, 0.0))
    for count in (1, len(names) + 1):
        yield _loss(stem, f"{count}-propagate-down", "propagate-down-count", options=_asking(*[True] * count))
    for bottom in ("nowhere", "loss"):
        yield _loss(stem, f"bottom-{bottom}", "unknown-bottom", bottoms=[bottom, *names[1:]])


def _batches(stem: str) -> Iterator[Refused]:
    """A second bottom of another batch than the first, declared or fed; a batch of none; a bottom without axes."""
    second = list(_SHAPES[stem])[1]
    longer = {second: (3, *_SHAPES[stem][second][1:])}
    yield _loss(stem, "batch-mismatch", "batch-mismatch", declared=longer)
    yield _loss(stem, "batch-mismatch-fed", "batch-mismatch", "forward", fed=longer)
    none = {name: shape if name == "H" else (0, *shape[1:]) for name, shape in _SHAPES[stem].items()}
    stage = "setup" if stem in _TWO_TOPS else "forward"
    yield _loss(stem, "empty-batch", "empty-batch", stage, declared=none)
    yield _loss(stem, "label-without-axes", "axis", declared={second: ()})


def _labels(stem: str) -> Iterator[Refused]:
    """A gradient asked for into class labels or targets, by a learnable label or by propagate_down."""
    if stem not in _CLASS_LABELS:
        return
    names = list(_SHAPES[stem])
    yield _loss(stem, "learnt-label", "label-gradient", "backward", learnt=["x", names[1]])
    asks = _asking(True, True, *[False] * (len(names) - 2))
    yield _loss(stem, "label-propagates", "label-gradient", "backward", learnt=["x"], options=asks)


def _in_place(stem: str) -> Iterator[Refused]:
    """The loss as one of its own bottoms."""
    second = list(_SHAPES[stem])[1]
    yield _loss(stem, "in-place-label", "in-place-label", tops=[second])
    if stem in ("euclidean_loss", "infogain_loss", "sigmoid_cross_entropy_loss", "softmax_with_loss"):
        yield _loss(stem, "in-place-scores", "in-place-label", tops=["x"])


def _label_counts() -> Iterator[Refused]:
    for stem, shapes in (
        ("softmax_with_loss", ({"y": (2, 2)}, {"x": (2, 3, 2, 2)}, {"x": (2, 3, 2, 2), "y": (2, 3)})),
        ("infogain_loss", ({"y": (2, 2)}, {"x": (2, 3, 2, 2)})),
        ("sigmoid_cross_entropy_loss", ({"t": (2, 4)}, {"t": (2,)}, {"x": (2, 3, 2)})),
        ("euclidean_loss", ({"z": (2, 4)}, {"z": (2,)}, {"x": (2, 3, 2)})),
    ):
        for declared in shapes:
            word = "-".join(f"{name}-{'x'.join(map(str, shape))}" for name, shape in declared.items())
            yield _loss(stem, f"label-count-{word}", "label-count", declared=declared)
            yield _loss(stem, f"label-count-fed-{word}", "label-count", "forward", fed=declared)
    for shape in ((2, 2), (2, 1, 2), (2, 1, 1, 2)):
        word = "x".join(map(str, shape))
        yield _loss("multinomial_logistic_loss", f"labels-{word}", "label-shape", declared={"y": shape})
    yield _loss("softmax_with_loss", "scores-as-labels", "label-count", bottoms=["x", "x"])


def _axes() -> Iterator[Refused]:
    """Axes that a blob does not have, and blobs of more axes than the legacy dimensions name."""
    for stem, param in (("softmax_with_loss", "softmax_param"), ("infogain_loss", "infogain_loss_param")):
        for axis in (2, -3):
            yield _loss(stem, f"axis-{axis}", "axis", options=f"{param} {{ axis: {axis} }}")
        yield _loss(stem, "scores-of-one-axis", "axis", declared={"x": (2,)})
    five = (2, 3, 1, 1, 1)
    for stem in ("hinge_loss", "multinomial_logistic_loss"):
        yield _loss(stem, "five-axes", "axes", "forward", declared={"x": five})
    yield _loss("euclidean_loss", "five-axes", "axes", "forward", declared={"x": five, "z": five})
    yield _loss("contrastive_loss", "five-axes", "axes", declared={"x": five, "z": five})
    yield _loss("multinomial_logistic_loss", "labels-of-five-axes", "axes", declared={"y": (2, 1, 1, 1, 1)})


def _pairs() -> Iterator[Refused]:
    stem = "contrastive_loss"
    for name, shape in (("high", (2, 3, 2, 1)), ("wide", (2, 3, 1, 2))):
        yield _loss(stem, f"{name}-pairs", "spatial-pairs", declared={"x": shape, "z": shape})
    yield _loss(stem, "pairs-of-two-lengths", "pair-shape", declared={"z": (2, 4)})
    yield _loss(stem, "two-similarities", "pair-shape", declared={"s": (2, 2)})


def _matrices() -> Iterator[Refused]:
    stem = "infogain_loss"
    for shape in ((4, 4), (3,), (2, 3)):
        yield _loss(stem, f"matrix-{'x'.join(map(str, shape))}", "matrix-size", declared={"H": shape})
    yield _loss(stem, "matrix-fed-4x4", "matrix-size", "forward", fed={"H": (4, 4)})
    absent, unread = (f'infogain_loss_param {{ source: "{name}.binaryproto" }}' for name in ("absent", "unread"))
    yield _loss(stem, "no-matrix", "matrix-missing", bottoms=["x", "y"])
    yield _loss(stem, "no-file", "matrix-missing", bottoms=["x", "y"], options=absent)
    garbage = {"unread.binaryproto": b"\xff\xff\xff\xff"}
    yield _loss(stem, "no-blob-in-the-file", "matrix-missing", bottoms=["x", "y"], options=unread, files=garbage)
    for value in ("true", "false"):
        yield _loss(stem, f"normalize-{value}", "deprecated-normalize", options=f"loss_param {{ normalize: {value} }}")


_X, _Y = source("x", (2, 3)), source("y", (2,))
_FED: Mapping[str, Any] = {"inputs": _zeros({"x": (2, 3), "y": (2,)})}
_FED_X: Mapping[str, Any] = {"inputs": _zeros({"x": (2, 3)})}


def _around() -> Iterator[Refused]:
    """What is refused of the layers around a loss, and of how they hang together."""

    def net(name: str, facet: str, text: str, stage: str = "setup", fields: Mapping[str, Any] = _FED_X) -> Refused:
        return Refused("net", name, facet, stage, text, fields)

    yield net("accuracy-without-top", "layer-counts", _X + _Y + layer("a", "Accuracy", ["x", "y"], ()), fields=_FED)
    yield net("silence-with-top", "layer-counts", _X + layer("s", "Silence", ["x"], ["t"]))
    yield net("power-of-two", "layer-counts", _X + _Y + layer("p", "Power", ["x", "y"]), fields=_FED)
    yield net("silence-with-weight", "loss-weight-count", _X + layer("s", "Silence", ["x"], (), (1.0,)))
    cut = "slice_param { slice_point: 1 }"
    yield net("slice-with-one-weight", "loss-weight-count", _X + layer("c", "Slice", ["x"], ["a", "b"], (1.0,), cut))
    for name in ("softmaxwithloss", "SoftmaxLoss", "NoSuchLoss"):
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
    unweighted = _X + layer("loss", "EuclideanLoss", ["x", "x"], weights=(0.0,))
    reduced = layer("r", "Reduction", ["loss"], options="reduction_param { axis: 1 }")
    yield net("reduced-loss", "axis", unweighted + reduced)
    yield net("nothing-in-it", "empty-net", 'name: "empty"\n', "forward", {})


def _learnt() -> Iterator[Refused]:
    """What is refused of parameters, and of gradients where there is no backward pass."""

    def product(name: str, outputs: int, params: str) -> str:
        return layer(name, "InnerProduct", ["x"], options=f"{params} inner_product_param {{ num_output: {outputs} }}")

    def net(name: str, facet: str, text: str, stage: str = "setup", fields: Mapping[str, Any] = _FED_X) -> Refused:
        return Refused("net", name, facet, stage, text, fields)

    shared = 'param { name: "w" } '
    loosely = 'param { name: "w" share_mode: PERMISSIVE } '
    yield net("shared-shapes-differ", "parameter-sharing", _X + product("a", 2, shared) + product("b", 3, shared))
    yield net("shared-counts-differ", "parameter-sharing", _X + product("a", 2, loosely) + product("b", 3, loosely))
    yield net("three-params-for-two", "param-count", _X + product("a", 2, "param { } " * 3))
    trunk = _X + product("h", 3, "") + _Y
    for kind, bottoms in (("Accuracy", ["h", "y"]), ("ArgMax", ["h"])):
        text = trunk + layer("a", kind, bottoms, weights=(1.0,))
        yield net(f"{kind.lower()}-with-weight", "no-backward", text, "backward", _FED)


_LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "x" top: "loss" %s }\n'

_TEXTS: dict[str, tuple[str, str]] = {
    "unknown-field": ("prototxt", _LOSS % "loss_wieght: 1"),
    "unknown-message": ("prototxt", _LOSS % "loss_parm { }"),
    "unknown-field-inside": ("prototxt", _LOSS % "loss_param { ignore: 1 }"),
    "unknown-enum": ("prototxt", _LOSS % "loss_param { normalization: MEAN }"),
    "lower-case-enum": ("prototxt", _LOSS % "loss_param { normalization: valid }"),
    "unknown-norm": ("prototxt", _LOSS % "hinge_loss_param { norm: L3 }"),
    "unknown-v1-type": (
        "prototxt",
        'layers { name: "loss" type: SOFTMAX_WITH_LOSS bottom: "x" bottom: "x" top: "loss" }',
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


def _texts() -> Iterator[Refused]:
    for name, (facet, text) in _TEXTS.items():
        yield Refused("prototxt", name, facet, "parse", _X + text, _FED_X)
