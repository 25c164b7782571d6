"""Options: which fields of a net each layer reads and which it does not, and which layers its rules choose.

Fields that a layer has no use for are set to what would show; where two fields name one thing, both are set.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.loss import MODES
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Matrix
from conformance.suite.judged import bundle
from conformance.suite.stock import DISTANCE

__all__ = ["checks"]

FAMILY = "options"
WEIGHT = 2.5

Served = tuple[Case, Sequence[str]]


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        yield bundle(f"{FAMILY}/{stem}", stem, list(_cases(loss)), layer_types=(loss.type,))
    if losses is not LOSSES:
        return
    yield bundle(f"{FAMILY}/net/rules", "net", list(_rules()), needs_net=True)
    yield bundle(f"{FAMILY}/net/phase", "net", list(_learning_phases()), needs_net=True)
    for loss in losses.values():
        case, served = _test_phase(loss)
        yield bundle(case.id, "net", [(case, served)], needs_net=True, layer_types=(loss.type,))


_NOT_IGNORED = {-1: 255, -7: 249, 300: 44, 65536: 0}
"""An ignore_label and an answer that is another number, and the same one in 8 bits or in 16."""


def _cases(loss: Loss) -> Iterator[Served]:
    yield from _said_defaults(loss)
    if loss.ignores:
        yield from _not_ignored(loss)
    if not loss.reads_loss_param:
        yield from _unread_loss_param(loss.plain)
    if loss.axis_option and "weighted-classes" not in loss.traits:
        yield from _axis_of_another_layer(loss.plain)
        yield from _axes(loss.plain)
    if loss.normalize_option:
        yield from _both_normalisations(loss.plain)
    if loss.bottom(Matrix):
        yield from _matrices(loss.plain)


def _said_defaults(loss: Loss) -> Iterator[Served]:
    """An option that is set to its default, beside every other: not what it is for a program that asks whether it is
    set."""
    beside = {repr(sorted(variant.options.items())): variant for variant in reversed(loss.variants)}
    for (path, values), variant in product(loss.options.items(), beside.values()):
        if values[0] is not None and path not in variant.options:
            case_id = f"{FAMILY}/{loss.stem}/default-{path.rpartition('.')[2].replace('_', '-')}-{variant.name}"
            case = variant.given({path: values[0]}).case(case_id, weights=(WEIGHT,), seed=9)
            yield case, [f"{loss.stem}.forward", f"{loss.stem}.backward"]


def _not_ignored(loss: Loss) -> Iterator[Served]:
    """Answers that an implementation takes for the ignore_label which keeps them in few bits."""
    for ignored, answer in _NOT_IGNORED.items():
        shape = (4, answer + 2) if loss.labelled else (4, 3)
        varied = loss.sized(shape).given({"loss_param.ignore_label": ignored})
        values = varied.values(seed=9)
        values[loss.answer.name].ravel()[:2] = (answer, ignored)
        case_id = f"{FAMILY}/{loss.stem}/ignoring-{ignored}-and-not-{answer}"
        yield varied.case(case_id, weights=(WEIGHT,), values=values), [f"{loss.stem}.ignore-label"]


def _unread_loss_param(variant: Variant) -> Iterator[Served]:
    """A loss_param on layers that have no use for one; 1 is a label, or a value, of all their second bottoms."""
    unread_ones: dict[str, Options] = {
        "ignore-label": {"loss_param.ignore_label": 1},
        "full": {"loss_param.normalization": "FULL"},
        "valid": {"loss_param.normalization": "VALID"},
        "none": {"loss_param.normalization": "NONE"},
        "normalize": {"loss_param.normalize": False},
    }
    for name, options in unread_ones.items():
        unread, stem = variant.given(options), variant.loss.stem
        values = unread.values(seed=9)
        values[variant.loss.answer.name].ravel()[0] = 1.0
        case = unread.case(f"{FAMILY}/{stem}/loss-param-{name}", weights=(WEIGHT,), values=values)
        yield case, [f"{stem}.ignores-loss-param"]


def _axis_of_another_layer(variant: Variant) -> Iterator[Served]:
    """Another loss's axis is set as well; the scores have as many labels along either."""
    own, stem = variant.loss.axis_option, variant.loss.stem
    for other in (loss.axis_option for loss in LOSSES.values() if loss.axis_option not in ("", own)):
        varied = variant.shaped((2, 3, 3), {own: 1, other: 2})
        case_id = f"{FAMILY}/{stem}/axis-of-{other.partition('.')[0]}"
        yield varied.case(case_id, weights=(WEIGHT,), values=_folded(varied, 3)), [f"{stem}.axis"]


def _folded(variant: Variant, classes: int) -> dict[str, Array]:
    """The variant's values, its labels folded into fewer classes than they were drawn from."""
    values = variant.values(seed=9)
    values[variant.loss.answer.name] %= classes
    return values


def _axes(variant: Variant) -> Iterator[Served]:
    """Every axis of scores that have several outer and several inner positions, with every normalization."""
    loss, shape = variant.loss, (2, 3, 2, 4)
    ignoring: Options = {"loss_param.ignore_label": 255} if loss.ignores else {}
    for axis in (1, 2, 3, -1, -2):
        along = {loss.axis_option: axis}
        reshaped = variant.reshaped({bottom.name: bottom.role.shape(shape, axis % 4) for bottom in loss.bottoms})
        for mode in loss.modes:
            varied = reshaped.given({**along, "loss_param.normalization": mode, **ignoring})
            values = _folded(varied, shape[axis])
            if ignoring:
                values[loss.answer.name].ravel()[[0, 7]] = 255.0
            case_id = f"{FAMILY}/{loss.stem}/axis-{axis}-{(mode or 'default').lower()}"
            case = varied.case(case_id, weights=(WEIGHT,), values=values)
            yield case, [f"{loss.stem}.axis", *([f"{loss.stem}.normalization"] if mode else [])]


def _both_normalisations(variant: Variant) -> Iterator[Served]:
    """normalization beside the deprecated normalize: the former decides."""
    stem = variant.loss.stem
    for mode in MODES:
        for flag in (True, False):
            both: Options = {"loss_param.normalization": mode, "loss_param.normalize": flag}
            ignoring: Options = {"loss_param.ignore_label": 255} if variant.loss.ignores else {}
            varied = variant.given({**both, **ignoring})
            values = varied.values(seed=9)
            if ignoring:
                values[variant.loss.answer.name].ravel()[1] = 255.0
            case_id = f"{FAMILY}/{stem}/normalize-{str(flag).lower()}-beside-{mode.lower()}"
            served = [f"{stem}.normalization", f"{stem}.deprecated-normalize"]
            yield varied.case(case_id, weights=(WEIGHT,), values=values), served


def _matrices(variant: Variant) -> Iterator[Served]:
    """A matrix in a file, in its bottom, and in both."""
    matrix, stem = variant.loss.bottom(Matrix), variant.loss.stem
    assert matrix is not None
    values = variant.values(seed=9)
    other = np.linspace(-1, 2, variant.classes**2).round(3).reshape(variant.classes, -1)
    files = {"H.binaryproto": _blobproto(other)}
    named = variant.given({matrix.file: '"H.binaryproto"'})
    for name, content in (("matrix-beside-a-file", files), ("matrix-beside-a-missing-file", {})):
        case = named.case(f"{FAMILY}/{stem}/{name}", weights=(WEIGHT,), values=values, files=content)
        yield case, [f"{stem}.matrix-bottom"]
    alone = named.without(matrix.name)
    fed = {name: values[name] for name in alone.shapes}
    case = alone.case(f"{FAMILY}/{stem}/matrix-in-a-file", weights=(WEIGHT,), values=fed, files=files)
    yield case, [f"{stem}.matrix-file"]


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
            net = "force_backward: true\n" + _losses(source("x", _X.shape), rules)
            yield Case(f"{FAMILY}/net/rules/{name}-{i}", net, _inputs("x"), **state), ["net.rules", "net.total-loss"]


def _losses(sources: str, rules: str) -> str:
    """Two distances on the blob x."""
    targets = source("y", _X.shape) + source("z", _X.shape)
    always = layer("always", DISTANCE.type, ["x", "y"])
    chosen = layer("chosen", DISTANCE.type, ["x", "z"], weights=(0.5,), options=rules)
    return sources + targets + always + chosen


def _inputs(name: str) -> dict[str, Array]:
    return {name: _X, "y": _X[::-1].copy(), "z": np.abs(_X)}


def _test_phase(loss: Loss) -> Served:
    """A net in phase TEST has its loss and its gradients as in TRAIN."""
    case = loss.plain.case(f"{FAMILY}/net/phase/{loss.stem}", weights=(WEIGHT,), seed=9, phase="TEST")
    return case, ["net.phase", "net.total-loss"]


def _learning_phases() -> Iterator[Served]:
    """Parameters learn in either phase."""
    trunk = source("data", _X.shape) + layer(
        "x", "InnerProduct", ["data"], options="inner_product_param { num_output: 3 }"
    )
    params = {"x": (np.eye(3) / 2, np.array([0.5, -0.25, 1.0]))}
    for phase in ("TRAIN", "TEST"):
        net = _losses(trunk, "")
        case = Case(f"{FAMILY}/net/phase/learning-{phase}", net, _inputs("data"), phase, params)
        yield case, ["net.phase", "net.parameter-gradient"]
