"""Quirks: nets that each touch one place where BVLC Caffe departs from its documentation, and no other.

The side a verdict names is the dialect's fingerprint; an implementation that takes neither side fails. A case's id is
the quirk's name, with a word more where a quirk shows in two ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.implementation import Crash
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.judgement import judge
from conformance.judge.serving import STEMS
from conformance.losses.nets import layer, source
from conformance.requirements import CATALOGUE
from conformance.suite.judged import bundle, guarded

__all__ = ["QUIRK_NETS", "QuirkNet", "checks"]

FAMILY = "quirks"
_TWICE = ("forward", "backward") * 2


@dataclass(frozen=True)
class QuirkNet:
    """A net that touches ``quirk`` alone; ``place`` is the stem of the layer that has it, or "net".

    ``undefined`` where Caffe's side is undefined behaviour: then dying is taking that side.
    """

    quirk: str
    net: str
    place: str = "net"
    shows: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    undefined: bool = False

    def case(self) -> Case:
        return Case(f"{FAMILY}/{self.quirk}{self.shows and '-' + self.shows}", self.net, **self.fields)


def checks() -> Iterator[Check]:
    """A check for each layer that has quirks, and one for the net's."""
    for place in dict.fromkeys(net.place for net in QUIRK_NETS if not net.undefined):
        cases = [(n.case(), [f"quirk.{n.quirk}"]) for n in QUIRK_NETS if n.place == place and not n.undefined]
        yield bundle(f"{FAMILY}/{place}", place, cases, **_about(place))
    yield from (_undefined(net) for net in QUIRK_NETS if net.undefined)


def _about(place: str) -> dict[str, Any]:
    return {"needs_net": True} if place == "net" else {"layer_types": (STEMS[place],)}


def _undefined(net: QuirkNet) -> Check:
    """A case that Caffe answers at random, if it survives it."""
    case, requirement = net.case(), f"quirk.{net.quirk}"

    def body(session: Session) -> Iterator[Verdict]:
        try:
            answer = session.run(case)
        except Crash as crash:
            if session.dialect == "documented":
                raise
            reason = f"died, as Caffe may: {crash.reason}"
            yield Verdict(
                case.id, requirement, session.dtype, Status.PASSED, CATALOGUE[requirement].level, "bvlc", reason=reason
            )
        else:
            yield from judge(case.id, [requirement], case, answer, session.dtype, session.dialect)

    return Check(
        case.id,
        FAMILY,
        net.place,
        (requirement,),
        lambda session: guarded(session, case.id, [requirement], lambda: body(session)),
        core=False,
        **_about(net.place),
    )


_SCORES = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
_LABELS = np.array([2.0, 0.0])
_MATRIX = np.array([[1.0, 0.25, 0.0], [0.0, 1.0, 0.5], [0.125, 0.0, 2.0]])
_FORCED = "force_backward: true\n"
_X, _Y, _ZERO, _H = source("x", (2, 3)), source("y", (2,)), source("zero", (2, 3)), source("H", (3, 3))
_LEARNT = source("x", (2, 3), learnt=True)
_TRUNK = _X + layer("h", "InnerProduct", ["x"], options="inner_product_param { num_output: 3 }")
"""h is x, with something learnable below it, so that gradients are owed without force_backward."""

_ABOVE_TRUNK: dict[str, Any] = {
    "inputs": {"x": _SCORES, "y": _LABELS},
    "params": {"h": (np.eye(3), np.zeros(3))},
}
_BESIDE_ZERO: dict[str, Any] = {
    "inputs": {"x": _SCORES, "zero": np.zeros((2, 3))},
    "params": {"h": (np.eye(3), np.zeros(3))},
}
_FED: dict[str, Any] = {"inputs": {"x": _SCORES, "y": _LABELS}}
_FED_X: dict[str, Any] = {"inputs": {"x": _SCORES}}
_WITH_MATRIX: dict[str, Any] = {"inputs": {"y": _LABELS, "H": _MATRIX}, "params": {"x": (_SCORES,)}}


def _grown_pairs() -> dict[str, Any]:
    """A thousand times the declared batch: little enough to send, too much to fit by chance."""
    a, b = (np.random.default_rng(11).integers(-64, 65, (2, 4000, 4)) * 2 + 1) / 64
    return {"inputs": {"x": a, "z": b * 0.75, "s": np.resize([1.0, 0.0, 0.0], 4000)}}


_PAIRS = source("x", (4, 4)) + source("z", (4, 4)) + source("s", (4,))
_SOFTMAX = layer("loss", "SoftmaxWithLoss", ["h", "y"])
_TRUNK_Y = _TRUNK + _Y
_TWO = ("loss", "probability")
_L2 = "hinge_loss_param { norm: L2 }"
_HALVES = "slice_param { slice_point: 1 }"
_SQUARE = "power_param { power: 2 shift: 0.5 }"

QUIRK_NETS: tuple[QuirkNet, ...] = (
    QuirkNet(
        "implicit-weight-once",
        _FORCED + _X + _Y + layer("loss", "SoftmaxWithLoss", ["x", "y"], _TWO),
        "softmax_with_loss",
        fields=_FED,
    ),
    QuirkNet(
        "implicit-weight-once",
        _LEARNT + _Y + _H + layer("loss", "InfogainLoss", ["x", "y", "H"], _TWO),
        "infogain_loss",
        "infogain",
        _WITH_MATRIX,
    ),
    QuirkNet(
        "softmax-inner-loss-weights",
        _FORCED + _X + _Y + layer("loss", "SoftmaxWithLoss", ["x", "y"], _TWO, (1.0, 0.5)),
        "softmax_with_loss",
        fields=_FED,
    ),
    QuirkNet(
        "second-top-no-gradient",
        _LEARNT
        + _Y
        + _H
        + layer("loss", "InfogainLoss", ["x", "y", "H"], _TWO, (1.0, 0.0))
        + layer("square", "Power", ["probability"], weights=(2.0,), options=_SQUARE),
        "infogain_loss",
        fields=_WITH_MATRIX,
    ),
    QuirkNet(
        "second-top-shares-softmax",
        _LEARNT
        + _Y
        + _H
        + layer("loss", "InfogainLoss", ["x", "y", "H"], _TWO, (1.0, 0.0))
        + layer("half", "Power", ["probability"], ["probability"], options="power_param { scale: 0.5 }"),
        "infogain_loss",
        fields=_WITH_MATRIX,
    ),
    QuirkNet(
        "infogain-matrix-forced",
        _FORCED + _X + _Y + _H + layer("loss", "InfogainLoss", ["x", "y", "H"]),
        "infogain_loss",
        fields={"inputs": {"x": _SCORES, "y": _LABELS, "H": _MATRIX}},
    ),
    QuirkNet("implicit-weight-unsplit", _TRUNK_Y + _SOFTMAX + layer("c", "Silence", ["loss"], ()), fields=_ABOVE_TRUNK),
    QuirkNet(
        "implicit-weight-unsplit",
        _TRUNK_Y + _SOFTMAX + layer("c", "Power", ["loss"], weights=(1.0,), options="power_param { scale: 10 }"),
        shows="weighted",
        fields={**_ABOVE_TRUNK, "steps": _TWICE},
    ),
    QuirkNet(
        "split-readds-implicit-weight",
        _TRUNK_Y + layer("loss", "SoftmaxWithLoss", ["h", "y"], weights=(3.0,)) + layer("c", "Silence", ["loss"], ()),
        fields={**_ABOVE_TRUNK, "steps": _TWICE},
    ),
    QuirkNet(
        "split-drops-sibling-weights",
        _FORCED + _X + layer("cut", "Slice", ["x"], ["a", "b"], (2.0, 5.0), _HALVES) + layer("c", "Silence", ["a"], ()),
        fields=_FED_X,
    ),
    QuirkNet(
        "grown-top-loses-weight",
        _FORCED + _X + layer("p", "Power", ["x"], weights=(2.0,)),
        fields={"inputs": {"x": np.vstack([_SCORES, [[4.0, -0.5, 0.75]]])}},
    ),
    QuirkNet(
        "force-backward-overrides-propagate-down",
        _FORCED + _TRUNK_Y + layer("loss", "SoftmaxWithLoss", ["h", "y"], options="propagate_down: false " * 2),
        fields=_ABOVE_TRUNK,
    ),
    QuirkNet(
        "propagate-down-forces-nothing",
        _X + _Y + layer("loss", "SoftmaxWithLoss", ["x", "y"], options="propagate_down: true propagate_down: false"),
        fields=_FED,
    ),
    QuirkNet(
        "force-backward-needs-every-backward",
        _FORCED + _TRUNK_Y + _SOFTMAX + layer("right", "Accuracy", ["h", "y"]),
        fields=_ABOVE_TRUNK,
    ),
    QuirkNet(
        "hinge-scratch",
        _FORCED + _X + _Y + layer("loss", "HingeLoss", ["x", "y"], options=_L2),
        "hinge_loss",
        fields={**_FED, "steps": ("forward", "backward", "backward")},
    ),
    QuirkNet(
        "hinge-scratch",
        _TRUNK_Y
        + _ZERO
        + layer("main", "EuclideanLoss", ["h", "zero"])
        + layer("aside", "HingeLoss", ["h", "y"], weights=(0.0,)),
        "hinge_loss",
        "leaks",
        {**_ABOVE_TRUNK, "inputs": {**_ABOVE_TRUNK["inputs"], "zero": np.zeros((2, 3))}},
    ),
    QuirkNet(
        "hinge-swallows-nan",
        _FORCED + _X + _Y + layer("loss", "HingeLoss", ["x", "y"], options=_L2),
        "hinge_loss",
        fields={"inputs": {"x": np.where(_SCORES == 2.0, np.nan, _SCORES), "y": _LABELS}},
    ),
    QuirkNet(
        "contrastive-buffers-sized-once",
        _FORCED
        + _PAIRS
        + layer("loss", "ContrastiveLoss", ["x", "z", "s"], options="contrastive_loss_param { margin: 2 }"),
        "contrastive_loss",
        fields=_grown_pairs(),
        undefined=True,
    ),
    QuirkNet(
        "in-place-input-lost",
        _TRUNK
        + layer("p", "Power", ["h"], ["h"], options=_SQUARE)
        + _ZERO
        + layer("loss", "EuclideanLoss", ["h", "zero"]),
        fields=_BESIDE_ZERO,
    ),
    QuirkNet(
        "power-gradient-through-quotient",
        _FORCED + _X + layer("p", "Power", ["x"], weights=(1.0,), options="power_param { power: 3 shift: 1 }"),
        fields=_FED_X,
    ),
    QuirkNet(
        "parameter-layer-shares-diff",
        _LEARNT + _ZERO + layer("loss", "EuclideanLoss", ["x", "zero"]),
        shows="accumulating",
        fields={"inputs": {"zero": np.zeros((2, 3))}, "params": {"x": (_SCORES,)}, "steps": _TWICE},
    ),
    QuirkNet(
        "parameter-layer-shares-diff",
        layer("x", "Parameter", weights=(2.0,), options="parameter_param { shape { dim: 2 dim: 3 } }"),
        shows="weighted",
        fields={"params": {"x": (_SCORES,)}},
    ),
    QuirkNet(
        "scale-scratch",
        _TRUNK
        + _ZERO
        + layer("main", "EuclideanLoss", ["h", "zero"])
        + layer("s", "Scale", ["h"], weights=(1.0,), options="propagate_down: false"),
        fields={**_BESIDE_ZERO, "params": {**_BESIDE_ZERO["params"], "s": (np.array([0.5, 2.0, -1.0]),)}},
    ),
    QuirkNet(
        "scale-overwrites-parameter-diff",
        _FORCED + _X + layer("s", "Scale", ["x"], weights=(2.0,), options="scale_param { axis: 0 num_axes: -1 }"),
        fields={**_FED_X, "params": {"s": (np.array([[0.5, 2.0, -1.0], [1.0, 3.0, 0.25]]),)}, "steps": _TWICE},
    ),
)
