"""Quirks: nets that each touch one place where BVLC Caffe departs from its documentation, and no other.

The side a verdict names is the dialect's fingerprint; an implementation that takes neither side fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.losses import KNOWN, LOSSES, Loss
from conformance.losses.examples import QuirkNet
from conformance.losses.nets import layer, source
from conformance.suite.judged import bundle, judged
from conformance.suite.stock import CLASSIFIER, DISTANCE

__all__ = ["case_of", "checks", "quirk_nets"]

FAMILY = "quirks"
_TWICE = ("forward", "backward") * 2


def case_of(net: QuirkNet) -> Case:
    """The net as a case; its id is the quirk's name, with a word more where a quirk shows in two ways."""
    return Case(f"{FAMILY}/{net.quirk}{net.shows and '-' + net.shows}", net.net, **net.fields)


def quirk_nets(losses: Mapping[str, Loss] = LOSSES) -> Iterator[tuple[str, QuirkNet]]:
    """Every such net, and the stem of the loss that has the quirk, or "net"."""
    for stem, loss in losses.items():
        yield from ((stem, net) for net in loss.quirk_nets)
    if losses is LOSSES:
        yield from (("net", net) for net in NET_QUIRKS)


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """A check for each layer that has quirks, and one for the net's."""
    cases: dict[str, list[tuple[Case, list[str]]]] = {}
    for place, net in quirk_nets(losses):
        if not net.undefined:
            cases.setdefault(place, []).append((case_of(net), [f"quirk.{net.quirk}"]))
    for place, served in cases.items():
        yield bundle(f"{FAMILY}/{place}", place, served, **_about(place))
    yield from (_undefined(place, net) for place, net in quirk_nets(losses) if net.undefined)


def _about(place: str) -> dict[str, Any]:
    return {"needs_net": True} if place == "net" else {"layer_types": (KNOWN[place].type,)}


def _undefined(place: str, net: QuirkNet) -> Check:
    """A case that Caffe answers at random, if it survives it: only the documented side can be judged."""
    case, requirement = case_of(net), f"quirk.{net.quirk}"

    def run(session: Session) -> Iterator[Verdict]:
        defined = session.dialect == "documented"
        for verdict in judged(session, case.id, [requirement], case):
            if defined or verdict.status is Status.PASSED:
                yield verdict if defined else replace(verdict, level=Level.SHOULD)
            else:
                reason = f"undefined in Caffe: {verdict.reason}"
                yield Verdict(
                    case.id, requirement, session.dtype, Status.NOT_APPLICABLE, Level.SHOULD, "bvlc", reason=reason
                )

    return Check(case.id, FAMILY, place, (requirement,), run, core=False, undefined=True, **_about(place))


_SCORES = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
_LABELS = np.array([2.0, 0.0])
_FORCED = "force_backward: true\n"
_X, _Y, _ZERO = source("x", (2, 3)), source("y", (2,)), source("zero", (2, 3))
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

_LOSS = layer("loss", CLASSIFIER.type, ["h", "y"])
_TRUNK_Y = _TRUNK + _Y
_HALVES = "slice_param { slice_point: 1 }"
_SQUARE = "power_param { power: 2 shift: 0.5 }"

NET_QUIRKS: tuple[QuirkNet, ...] = (
    QuirkNet("implicit-weight-unsplit", _TRUNK_Y + _LOSS + layer("c", "Silence", ["loss"], ()), fields=_ABOVE_TRUNK),
    QuirkNet(
        "implicit-weight-unsplit",
        _TRUNK_Y + _LOSS + layer("c", "Power", ["loss"], weights=(1.0,), options="power_param { scale: 10 }"),
        shows="weighted",
        fields={**_ABOVE_TRUNK, "steps": _TWICE},
    ),
    QuirkNet(
        "split-readds-implicit-weight",
        _TRUNK_Y + layer("loss", CLASSIFIER.type, ["h", "y"], weights=(3.0,)) + layer("c", "Silence", ["loss"], ()),
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
        _FORCED + _TRUNK_Y + layer("loss", CLASSIFIER.type, ["h", "y"], options="propagate_down: false " * 2),
        fields=_ABOVE_TRUNK,
    ),
    QuirkNet(
        "propagate-down-forces-nothing",
        _X + _Y + layer("loss", CLASSIFIER.type, ["x", "y"], options="propagate_down: true propagate_down: false"),
        fields=_FED,
    ),
    QuirkNet(
        "force-backward-needs-every-backward",
        _FORCED + _TRUNK_Y + _LOSS + layer("right", "Accuracy", ["h", "y"]),
        fields=_ABOVE_TRUNK,
    ),
    QuirkNet(
        "in-place-input-lost",
        _TRUNK
        + layer("p", "Power", ["h"], ["h"], options=_SQUARE)
        + _ZERO
        + layer("loss", DISTANCE.type, ["h", "zero"]),
        fields=_BESIDE_ZERO,
    ),
    QuirkNet(
        "power-gradient-through-quotient",
        _FORCED + _X + layer("p", "Power", ["x"], weights=(1.0,), options="power_param { power: 3 shift: 1 }"),
        fields=_FED_X,
    ),
    QuirkNet(
        "parameter-layer-shares-diff",
        _LEARNT + _ZERO + layer("loss", DISTANCE.type, ["x", "zero"]),
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
        + layer("main", DISTANCE.type, ["h", "zero"])
        + layer("s", "Scale", ["h"], weights=(1.0,), options="propagate_down: false"),
        fields={**_BESIDE_ZERO, "params": {**_BESIDE_ZERO["params"], "s": (np.array([0.5, 2.0, -1.0]),)}},
    ),
    QuirkNet(
        "scale-overwrites-parameter-diff",
        _FORCED + _X + layer("s", "Scale", ["x"], weights=(2.0,), options="scale_param { axis: 0 num_axes: -1 }"),
        fields={**_FED_X, "params": {"s": (np.array([[0.5, 2.0, -1.0], [1.0, 3.0, 0.25]]),)}, "steps": _TWICE},
    ),
)
