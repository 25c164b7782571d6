"""Generated cases: hypothesis strategies for nets of one loss layer, and for random nets with several losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from conformance.contract.case import Array, Case
from conformance.losses import Loss, Variant
from conformance.losses.loss import Bottom
from conformance.losses.nets import layer, source
from conformance.losses.options import Option, Options, options_text
from conformance.losses.roles import (
    Identities,
    Labels,
    Marks,
    Matrix,
    Probabilities,
    Role,
    Scores,
    Shape,
    Similarity,
    Targets,
    Weights,
)
from conformance.suite.stock import CLASSIFIER, CROSS_ENTROPY, DISTANCE, MARGINS

__all__ = ["loss_cases", "net_cases"]

_WEIGHTS = st.sampled_from([None, 1.0, 0.0, 2.5, -0.75, 1e-3])
_SCORES = st.integers(-256, 256).filter(lambda k: k % 8 != 0).map(lambda k: k / 64)
_ENTRIES: dict[type[Role], st.SearchStrategy[float]] = {
    Scores: _SCORES,
    Probabilities: st.integers(1, 128).map(lambda k: k / 128),
    Targets: st.integers(0, 16).map(lambda k: k / 16),
    Marks: st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5]),
    Similarity: st.integers(0, 1).map(float),
    Identities: st.integers(0, 1).map(float),
    Matrix: st.integers(-16, 32).map(lambda k: k / 16),
    Weights: st.integers(-4, 12).map(lambda k: k / 4),
}
"""The entries of a bottom by its role; labels depend on how many classes there are."""


def _array(draw: st.DrawFn, entries: st.SearchStrategy[float], shape: Shape) -> Array:
    size = int(np.prod(shape))
    return np.array(draw(st.lists(entries, min_size=size, max_size=size)), dtype=np.float64).reshape(shape)


def _shape(draw: st.DrawFn, loss: Loss) -> Shape:
    """A shape of the first bottom."""
    if "rows" in loss.traits:
        return draw(st.tuples(st.integers(1, 4), st.integers(2, 4)))
    if "flat" in loss.traits:
        return (*draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), *draw(st.sampled_from([(), (1, 1)])))
    axes = draw(st.integers(1 if len(loss.learned) == len(loss.bottoms) else 2, 4))
    return tuple(draw(st.lists(st.integers(1, 4 if axes < 3 else 3), min_size=axes, max_size=axes)))


def _options(draw: st.DrawFn, loss: Loss, axes: int) -> Options:
    """Every option left out or given one of its values, an axis one that the scores have."""
    options: dict[str, Option] = {}
    for name, values in loss.options.items():
        any_axis = name == loss.axis_option and "weighted-classes" not in loss.traits
        known = st.integers(1, axes - 1) if any_axis else st.sampled_from(list(values))
        options[name] = draw(st.one_of(st.none(), known))
    return {name: value for name, value in options.items() if value is not None}


def _labels(classes: int, ignored: Option = None) -> st.SearchStrategy[float]:
    known = st.integers(0, classes - 1).map(float)
    return known if ignored is None else st.one_of(known, st.just(float(ignored)))


def _further(draw: st.DrawFn, loss: Loss) -> Sequence[Bottom]:
    """Some of the bottoms that may be absent, the first ones."""
    optional = [bottom for bottom in loss.bottoms if bottom not in loss.needed]
    return optional[: draw(st.integers(0, len(optional)))] if optional else []


@st.composite
def loss_cases(draw: st.DrawFn, loss: Loss) -> Case:
    """One loss layer over inputs, with drawn shapes, options and weight."""
    shape = _shape(draw, loss)
    options = _options(draw, loss, len(shape))
    bottoms = (*loss.needed, *_further(draw, loss))
    if any(bottom.role.fixed for bottom in bottoms):
        variant, values = _together(draw, loss, options, [bottom.name for bottom in bottoms])
    else:
        values = _values(draw, loss, shape, options, bottoms)
        variant = loss.on("generated", list(values.values()), options)
    weight = draw(_WEIGHTS)
    weights = () if weight is None else (weight,)
    return variant.case(f"properties/{loss.stem}/generated", weights=weights, values=values)


def _together(draw: st.DrawFn, loss: Loss, options: Options, names: Sequence[str]) -> tuple[Variant, dict[str, Array]]:
    """Values that hang together, as the loss draws them from a drawn seed."""
    sized = loss.sized((draw(st.integers(1, 4)), draw(st.sampled_from([4, 12, 40])))).given(options)
    variant = replace(sized, shapes=loss.shapes(sized.shapes[sized.first], sized.options, names))
    return variant, variant.values(draw(st.integers(0, 2**16)))


def _values(draw: st.DrawFn, loss: Loss, shape: Shape, options: Options, bottoms: Sequence[Bottom]) -> dict[str, Array]:
    """Every bottom's entries, one by one."""
    ignored = options.get("loss_param.ignore_label")
    values: dict[str, Array] = {}
    shapes = loss.shapes(shape, options)
    for bottom in bottoms:
        wanted = shapes.get(bottom.name, shape)
        if isinstance(bottom.role, Labels):
            entries = _labels(loss.classes(shape, options), ignored)
        else:
            entries = next(_ENTRIES[kind] for kind in type(bottom.role).__mro__ if kind in _ENTRIES)
            if bottom is loss.answer and ignored is not None:
                entries = st.one_of(entries, st.just(float(ignored)))
        values[bottom.name] = _array(draw, entries, wanted)
    return values


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
    loss = draw(st.sampled_from([CLASSIFIER, CROSS_ENTROPY, DISTANCE, MARGINS]))
    below = draw(st.sampled_from(sorted(grown.widths)))
    width = grown.widths[below]
    target = f"y_{name}"
    entries = _labels(width) if loss.labelled else _ENTRIES[Targets]
    grown.inputs[target] = _array(draw, entries, (batch,) if loss.labelled else (batch, width))
    grown.net += source(target, grown.inputs[target].shape)
    weight = draw(_WEIGHTS)
    smooth = {name: values[-1] for name, values in loss.options.items()} if loss is MARGINS else {}
    weights = () if weight is None else (weight,)
    grown.net += layer(name, loss.type, (below, target), weights=weights, options=options_text(smooth))
