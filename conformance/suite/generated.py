"""Generated cases: hypothesis strategies for nets of one loss layer, and for random nets with several losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from conformance.contract.case import Array, Case
from conformance.losses.nets import layer, source
from conformance.losses.recipes import recipes_of

__all__ = ["loss_cases", "net_cases"]

_WEIGHTS = st.sampled_from([None, 1.0, 0.0, 2.5, -0.75, 1e-3])
_SCORES = st.integers(-256, 256).filter(lambda k: k % 8 != 0).map(lambda k: k / 64)
_MODES = st.sampled_from(
    ["", "normalization: FULL", "normalization: VALID", "normalization: BATCH_SIZE", "normalization: NONE"]
)


def _array(draw: st.DrawFn, entries: st.SearchStrategy[float], shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape))
    return np.array(draw(st.lists(entries, min_size=size, max_size=size)), dtype=np.float64).reshape(shape)


def _shape(draw: st.DrawFn, axes: int) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(1, 4 if axes < 3 else 3), min_size=axes, max_size=axes)))


def _labels(draw: st.DrawFn, classes: int, shape: tuple[int, ...], ignored: int | None = None) -> Array:
    known = st.integers(0, classes - 1).map(float)
    return _array(draw, known if ignored is None else st.one_of(known, st.just(float(ignored))), shape)


def _loss_param(draw: st.DrawFn, ignored: int | None) -> str:
    inside = " ".join(part for part in (draw(_MODES), "" if ignored is None else f"ignore_label: {ignored}") if part)
    return f"loss_param {{ {inside} }}" if inside else ""


def _softmax(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, draw(st.integers(2, 4)))
    axis = draw(st.integers(1, len(shape) - 1))
    ignored = draw(st.sampled_from([None, 255, -1]))
    labels = _labels(draw, shape[axis], shape[:axis] + shape[axis + 1 :], ignored)
    return {
        "x": _array(draw, _SCORES, shape),
        "y": labels,
    }, f"{_loss_param(draw, ignored)} softmax_param {{ axis: {axis} }}"


def _infogain(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    values, options = _softmax(draw)
    axis = int(options.rpartition("axis: ")[2].split()[0])
    classes = values["x"].shape[axis]
    values["H"] = _array(draw, st.integers(-16, 32).map(lambda k: k / 16), (1, 1, classes, classes))
    return values, options.replace("softmax_param", "infogain_loss_param")


def _sigmoid(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, draw(st.integers(2, 4)))
    ignored = draw(st.sampled_from([None, 255]))
    targets: st.SearchStrategy[float] = st.integers(0, 16).map(lambda k: k / 16)
    targets = targets if ignored is None else st.one_of(targets, st.just(float(ignored)))
    return {"x": _array(draw, _SCORES, shape), "t": _array(draw, targets, shape)}, _loss_param(draw, ignored)


def _hinge(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, draw(st.integers(2, 4)))
    values = {"x": _array(draw, _SCORES, shape), "y": _labels(draw, int(np.prod(shape[1:])), shape[:1])}
    return values, f"hinge_loss_param {{ norm: {draw(st.sampled_from(['L1', 'L2']))} }}"


def _multinomial(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, draw(st.integers(2, 4)))
    values = {"x": _array(draw, st.integers(1, 128).map(lambda k: k / 128), shape)}
    return {**values, "y": _labels(draw, int(np.prod(shape[1:])), shape[:1])}, ""


def _euclidean(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, draw(st.integers(1, 4)))
    return {"x": _array(draw, _SCORES, shape), "z": _array(draw, _SCORES, shape)}, ""


def _contrastive(draw: st.DrawFn) -> tuple[dict[str, Array], str]:
    shape = _shape(draw, 2) + draw(st.sampled_from([(), (1, 1)]))
    margin = draw(st.sampled_from(["", "margin: 0.25", "margin: 3.5", "margin: 12"]))
    legacy = draw(st.sampled_from(["", "legacy_version: true"]))
    values = {"x": _array(draw, _SCORES, shape), "z": _array(draw, _SCORES, shape), "s": _labels(draw, 2, shape[:1])}
    return values, f"contrastive_loss_param {{ {margin} {legacy} }}"


_DRAW: dict[str, Callable[[st.DrawFn], tuple[dict[str, Array], str]]] = {
    "contrastive_loss": _contrastive,
    "euclidean_loss": _euclidean,
    "hinge_loss": _hinge,
    "infogain_loss": _infogain,
    "multinomial_logistic_loss": _multinomial,
    "sigmoid_cross_entropy_loss": _sigmoid,
    "softmax_with_loss": _softmax,
}


@st.composite
def loss_cases(draw: st.DrawFn, stem: str) -> Case:
    """One loss layer over inputs, with drawn shapes, options and weight."""
    values, options = _DRAW[stem](draw)
    weight = draw(_WEIGHTS)
    forced = "H" not in values
    net = "force_backward: true\n" if forced else ""
    for name, array in values.items():
        net += source(name, array.shape, learnt=name == "x" and not forced)
    weights = () if weight is None else (weight,)
    net += layer("loss", recipes_of(stem)[0].type, values, weights=weights, options=options)
    learnt = {} if forced else {"x": (values.pop("x"),)}
    return Case(f"properties/{stem}/generated", net, values, params=learnt)


@dataclass
class _Growing:
    """A net as it is drawn: its text, inputs and parameters, and the blobs that a layer may take, with their widths."""

    net: str
    inputs: dict[str, Array]
    params: dict[str, tuple[Array, ...]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)


_SMOOTH = ("Sigmoid", "TanH", "Power", "Softmax")
_POWER = "power_param { power: 2 scale: 0.5 shift: 1 }"


@st.composite
def net_cases(draw: st.DrawFn) -> Case:
    """A random net: layers on a batch of rows, some tops weighted, blobs shared, one to three losses with drawn
    weights."""
    batch = draw(st.integers(1, 3))
    width = draw(st.integers(2, 4))
    grown = _Growing(
        "force_backward: true\n" + source("x", (batch, width)),
        {"x": _array(draw, _SCORES, (batch, width))},
        widths={"x": width},
    )
    for i in range(draw(st.integers(0, 4))):
        _add_layer(draw, grown, f"l{i}", batch)
    for i in range(draw(st.integers(1, 3))):
        _add_loss(draw, grown, f"loss{i}", batch)
    return Case("properties/net/generated", grown.net, grown.inputs, params=grown.params)


def _add_layer(draw: st.DrawFn, grown: _Growing, name: str, batch: int) -> None:
    kind = draw(st.sampled_from([*_SMOOTH, "InnerProduct", "Eltwise", "Slice", "Concat"]))
    below = draw(st.sampled_from(sorted(grown.widths)))
    width = grown.widths[below]
    weight = draw(st.sampled_from([None, None, 0.5, -1.0]))
    weights = [] if weight is None else [weight]
    bottoms, tops, options = [below], {name: width}, _POWER if kind == "Power" else ""
    if kind == "InnerProduct":
        out = draw(st.integers(1, 3))
        tops, options = {name: out}, f"inner_product_param {{ num_output: {out} }}"
        entries = st.integers(-32, 32).map(lambda k: k / 32)
        grown.params[name] = (_array(draw, entries, (out, width)), _array(draw, entries, (out,)))
    elif kind == "Eltwise":
        bottoms.append(draw(st.sampled_from(sorted(b for b, w in grown.widths.items() if w == width))))
        options = f"eltwise_param {{ operation: {draw(st.sampled_from(['SUM', 'PROD']))} }}"
    elif kind == "Concat":
        other = draw(st.sampled_from(sorted(grown.widths)))
        bottoms.append(other)
        tops = {name: width + grown.widths[other]}
    elif kind == "Slice" and width > 1:
        point = draw(st.integers(1, width - 1))
        tops, options = {name: point, f"{name}b": width - point}, f"slice_param {{ axis: 1 slice_point: {point} }}"
        weights = weights and [*weights, 0.25]
    elif kind == "Slice":
        kind, options = "TanH", ""
    grown.net += layer(name, kind, bottoms, tops, weights, options)
    grown.widths.update(tops)


def _add_loss(draw: st.DrawFn, grown: _Growing, name: str, batch: int) -> None:
    kind = draw(st.sampled_from(["SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "EuclideanLoss", "HingeLoss"]))
    below = draw(st.sampled_from(sorted(grown.widths)))
    width = grown.widths[below]
    target = f"y_{name}"
    if kind in ("SoftmaxWithLoss", "HingeLoss"):
        grown.inputs[target] = _labels(draw, width, (batch,))
    else:
        grown.inputs[target] = _array(draw, st.integers(0, 16).map(lambda k: k / 16), (batch, width))
    grown.net += source(target, grown.inputs[target].shape)
    weight = draw(_WEIGHTS)
    options = "hinge_loss_param { norm: L2 }" if kind == "HingeLoss" else ""
    weights = () if weight is None else (weight,)
    grown.net += layer(name, kind, (below, target), weights=weights, options=options)
