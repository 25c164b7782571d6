"""Options: which fields of a net each layer reads and which it does not, and which layers its rules choose.

Fields that a layer has no use for are set to what would show; where two fields name one thing, both are set.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.judge.serving import STEMS
from conformance.losses.nets import layer, source
from conformance.losses.recipes import Recipe, recipes_of
from conformance.suite.judged import bundle

__all__ = ["checks"]

FAMILY = "options"
WEIGHT = 2.5

Served = tuple[Case, Sequence[str]]


def checks() -> Iterator[Check]:
    for stem in ("contrastive_loss", "euclidean_loss", "hinge_loss", "multinomial_logistic_loss"):
        yield _check(stem, _unread_loss_param(recipes_of(stem)[0]))
    for stem in ("infogain_loss", "softmax_with_loss"):
        plain = recipes_of(stem)[0]
        yield _check(
            stem, [_axis_of_another_layer(plain), *_axes(plain), *_both_normalisations(plain), *_matrices(plain)]
        )
    yield _check("sigmoid_cross_entropy_loss", _both_normalisations(recipes_of("sigmoid_cross_entropy_loss")[0]))
    yield bundle(f"{FAMILY}/net/rules", "net", list(_rules()), needs_net=True)
    yield bundle(f"{FAMILY}/net/phase", "net", list(_test_phase()), needs_net=True)


def _check(stem: str, cases: Iterator[Served] | Sequence[Served]) -> Check:
    return bundle(f"{FAMILY}/{stem}", stem, list(cases), layer_types=(STEMS[stem],))


def _unread_loss_param(recipe: Recipe) -> Iterator[Served]:
    """A loss_param on layers that have no use for one; 1 is a label, or a value, of all their second bottoms."""
    for name, inside in {
        "ignore-label": "ignore_label: 1",
        "full": "normalization: FULL",
        "valid": "normalization: VALID",
        "none": "normalization: NONE",
        "normalize": "normalize: false",
    }.items():
        unread = replace(recipe, options=f"{recipe.options} loss_param {{ {inside} }}")
        values = unread.values(seed=9)
        values[recipe.bottoms[-1][0]].ravel()[0] = 1.0
        case = unread.case(f"{FAMILY}/{recipe.stem}/loss-param-{name}", weights=(WEIGHT,), values=values)
        yield case, [f"{recipe.stem}.ignores-loss-param"]


def _axis_of_another_layer(recipe: Recipe) -> Served:
    """The other layer's axis is set as well; the scores have as many labels along either."""
    own, other = "softmax_param", "infogain_loss_param"
    if recipe.stem == "infogain_loss":
        own, other = other, own
    shapes = {"x": (2, 3, 3), "y": (2, 3), "H": (1, 1, 3, 3)}
    bottoms = tuple((name, shapes[name], maker) for name, _, maker in recipe.bottoms)
    varied = replace(recipe, bottoms=bottoms, options=f"{own} {{ axis: 1 }} {other} {{ axis: 2 }}")
    values = varied.values(seed=9)
    values["y"] %= 3
    case = varied.case(f"{FAMILY}/{recipe.stem}/axis-of-{other}", weights=(WEIGHT,), values=values)
    return case, [f"{recipe.stem}.axis"]


def _axes(recipe: Recipe) -> Iterator[Served]:
    """Every axis of scores that have several outer and several inner positions, with every normalization."""
    block = "infogain_loss_param" if recipe.stem == "infogain_loss" else "softmax_param"
    for axis in (1, 2, 3, -1, -2):
        shape = (2, 3, 2, 4)
        classes = shape[axis]
        positions = tuple(size for i, size in enumerate(shape) if i != axis % 4)
        shapes = {"x": shape, "y": positions, "H": (1, 1, classes, classes)}
        bottoms = tuple((name, shapes[name], maker) for name, _, maker in recipe.bottoms)
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            options = f"{block} {{ axis: {axis} }} loss_param {{ normalization: {mode} ignore_label: 255 }}"
            varied = replace(recipe, bottoms=bottoms, options=options)
            values = varied.values(seed=9)
            values["y"] %= classes
            values["y"].ravel()[[0, 7]] = 255.0
            case = varied.case(f"{FAMILY}/{recipe.stem}/axis-{axis}-{mode.lower()}", weights=(WEIGHT,), values=values)
            yield case, [f"{recipe.stem}.axis", f"{recipe.stem}.normalization"]


def _both_normalisations(recipe: Recipe) -> Iterator[Served]:
    """normalization beside the deprecated normalize, which InfogainLoss refuses: the former decides."""
    if recipe.stem == "infogain_loss":
        return
    for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        for flag in ("true", "false"):
            inside = f"normalization: {mode} normalize: {flag} ignore_label: 255"
            varied = replace(recipe, options=f"{recipe.options} loss_param {{ {inside} }}")
            values = varied.values(seed=9)
            values[recipe.bottoms[1][0]].ravel()[1] = 255.0
            case_id = f"{FAMILY}/{recipe.stem}/normalize-{flag}-beside-{mode.lower()}"
            served = [f"{recipe.stem}.normalization", f"{recipe.stem}.deprecated-normalize"]
            yield varied.case(case_id, weights=(WEIGHT,), values=values), served


def _matrices(recipe: Recipe) -> Iterator[Served]:
    """An infogain matrix in a file, in the third bottom, and in both."""
    if recipe.stem != "infogain_loss":
        return
    values = recipe.values(seed=9)
    classes = values["x"].shape[1]
    other = np.linspace(-1, 2, classes * classes).round(3).reshape(classes, classes)
    files = {"H.binaryproto": _blobproto(other)}
    named = replace(recipe, options='infogain_loss_param { source: "H.binaryproto" }')
    for name, content in (("matrix-beside-a-file", files), ("matrix-beside-a-missing-file", {})):
        case = named.case(f"{FAMILY}/infogain_loss/{name}", weights=(WEIGHT,), values=values, files=content)
        yield case, ["infogain_loss.matrix-bottom"]
    alone = replace(named, bottoms=recipe.bottoms[:2])
    fed = {name: array for name, array in values.items() if name != "H"}
    case = alone.case(f"{FAMILY}/infogain_loss/matrix-in-a-file", weights=(WEIGHT,), values=fed, files=files)
    yield case, ["infogain_loss.matrix-file"]


def _blobproto(values: Array) -> bytes:
    """A BlobProto of the present format: ``shape`` (field 7) and packed float ``data`` (field 5)."""
    dims = bytes(values.shape)
    shape = b"\x0a" + bytes([len(dims)]) + dims
    data = struct.pack(f"<{values.size}f", *values.ravel())
    return b"\x3a" + bytes([len(shape)]) + shape + b"\x2a" + bytes([len(data)]) + data


_X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25]])
_RULES: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "phase": ("include { phase: TEST }", ({}, {"phase": "TEST"})),
    "stage": ('include { stage: "a" }', ({}, {"stages": ("a",)}, {"stages": ("b",)})),
    "two-stages": (
        'include { stage: "a" stage: "b" }',
        ({"stages": ("a",)}, {"stages": ("b",)}, {"stages": ("a", "b")}),
    ),
    "two-rules": (
        'include { stage: "a" } include { stage: "b" }',
        ({}, {"stages": ("a",)}, {"stages": ("b",)}, {"stages": ("b", "a")}),
    ),
    "not-stage": ('include { not_stage: "a" not_stage: "b" }', ({}, {"stages": ("a",)}, {"stages": ("c",)})),
    "levels": ("include { min_level: 1 max_level: 2 }", tuple({"level": level} for level in (-1, 0, 1, 2, 3))),
    "exclude": ('exclude { stage: "a" } exclude { phase: TEST }', ({}, {"stages": ("a",)}, {"phase": "TEST"})),
}
"""Rules of a loss, and the states of the net in which they are asked about."""


def _rules() -> Iterator[Served]:
    """A loss with rules beside one without: where it is in the net, it adds to loss and gradient."""
    for name, (rules, states) in _RULES.items():
        for i, state in enumerate(states):
            net = _losses(source("x", _X.shape), rules)
            yield Case(f"{FAMILY}/net/rules/{name}-{i}", net, _inputs("x"), **state), ["net.rules", "net.total-loss"]


def _losses(sources: str, rules: str) -> str:
    """Two EuclideanLosses on the blob x."""
    targets = source("y", _X.shape) + source("z", _X.shape)
    always = layer("always", "EuclideanLoss", ["x", "y"])
    chosen = layer("chosen", "EuclideanLoss", ["x", "z"], weights=(0.5,), options=rules)
    return "force_backward: true\n" + sources + targets + always + chosen


def _inputs(name: str) -> dict[str, Array]:
    return {name: _X, "y": _X[::-1].copy(), "z": np.abs(_X)}


def _test_phase() -> Iterator[Served]:
    """A net in phase TEST has its loss and its gradients as in TRAIN."""
    for stem in STEMS:
        recipe = recipes_of(stem)[0]
        case = recipe.case(f"{FAMILY}/net/phase/{stem}", weights=(WEIGHT,), seed=9, phase="TEST")
        yield case, ["net.phase", "net.total-loss"]
    trunk = source("data", _X.shape) + layer(
        "x", "InnerProduct", ["data"], options="inner_product_param { num_output: 3 }"
    )
    params = {"x": (np.eye(3) / 2, np.array([0.5, -0.25, 1.0]))}
    for phase in ("TRAIN", "TEST"):
        net = _losses(trunk, "").partition("\n")[2]
        case = Case(f"{FAMILY}/net/phase/learning-{phase}", net, _inputs("data"), phase, params)
        yield case, ["net.phase", "net.parameter-gradient"]
