"""Alterations: the case as somebody who makes one mistake would read it.

A mistake in reading a label, an option or a weight makes an implementation compute another net's answer without a flaw.
So the reference computes that net, and its numbers are held against what was got.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass
from conformance.diagnosis.rejection import Rejection, compared
from conformance.losses import Loss, loss_of_layer
from conformance.losses.roles import Labels, Matrix, Similarity, Targets
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.backward_plan import Node
from refimpl.errors import NetError
from refimpl.messages import LayerParameter, NetParameter
from refimpl.prototxt import dump_fields, dump_net, parse_net
from refimpl.schema import Extra

__all__ = ["alteration_clues"]

_IN_BOTH_PASSES = (Cause.NORMALISATION_MODE,)
"""What would show in a layer's top and in its gradients alike."""


@dataclass(frozen=True)
class _Altered:
    """A mistake's name, and the case it makes of the one given."""

    cause: Cause
    case: Case


def alteration_clues(rejection: Rejection, among: Collection[Cause] | None = None) -> Iterator[Clue]:
    """The mistakes that explain every difference of the rejection, or most of them; of all, or ``among`` some."""
    culprits = {d.node.name for d in rejection.differences if d.node is not None}
    one_pass = any(rejection.in_one_pass_only(d.node) for d in rejection.differences)
    net = parse_net(rejection.case.net)
    for altered in _altered(rejection, net, culprits) if among is None or among else ():
        if among is not None and altered.cause not in among:
            continue
        grade = _explained(rejection, altered.case)
        if grade is not None:
            doubtful = one_pass and altered.cause in _IN_BOTH_PASSES
            yield altered.cause, Grade.PATTERN if doubtful else grade


def _explained(rejection: Rejection, case: Case) -> Grade | None:
    """How well the altered case explains the differences: all of them are none beside it, some are, or none is."""
    try:
        _, comparisons = compared(case, rejection.outcome, rejection.dtype, rejection.dialect)
    except NetError:
        return None
    wanted = {(c.aspect, c.blob): np.asarray(c.want.value, dtype=np.float64) for c in comparisons}
    right = [
        d
        for d in rejection.differences
        if (d.aspect, d.blob) in wanted
        and wanted[d.aspect, d.blob].size == d.got.size
        and d.is_explained_by(wanted[d.aspect, d.blob].reshape(d.got.shape))
    ]
    if not right:
        return None
    return Grade.EXACT if len(right) == len(rejection.differences) else Grade.PATTERN


def _altered(rejection: Rejection, net: NetParameter, culprits: set[str]) -> Iterator[_Altered]:
    for i, layer in enumerate(net.layer):
        if layer.name not in culprits and not (not culprits and layer.loss_weight):
            continue
        node = next((n for n in rejection.net.layers if n.name == layer.name), None)

        def as_(cause: Cause, i: int = i, **fields: Any) -> _Altered:
            layers = (*net.layer[:i], replace(net.layer[i], **fields), *net.layer[i + 1 :])
            return _Altered(cause, replace(rejection.case, net=dump_net(replace(net, layer=layers))))

        if node is None:
            continue
        loss = loss_of_layer(node.layer)
        if loss is not None:
            yield from _all_labels_counted(loss, layer, node, rejection, as_)
            yield from _options(loss, layer, node, as_)
            yield from _axes(loss, layer, node, rejection, as_)
        yield from _weights(layer, as_)
        if loss is not None:
            yield from _inputs(loss, layer, node, rejection)
    if any(one.top_diff for one in rejection.case.sequence):
        yield _Altered(Cause.STALE_BUFFER, _with_top_diffs(rejection.case, None))
        yield _Altered(Cause.WEIGHT_MISSING, _with_top_diffs(rejection.case, 1.0))


def _with_top_diffs(case: Case, value: float | None) -> Case:
    """The case with every top's diff that is set by hand at one value, or none set, in all passes."""

    def of(one: Case | Pass) -> dict[str, float]:
        return {} if value is None else dict.fromkeys(one.top_diff, value)

    return replace(case, top_diff=of(case), passes=tuple(replace(one, top_diff=of(one)) for one in case.passes))


Make = Callable[..., _Altered]


def _all_labels_counted(
    loss: Loss, layer: LayerParameter, node: Node, rejection: Rejection, as_: Make
) -> Iterator[_Altered]:
    """No label is ignored; one that is no class is taken for the nearest."""
    if not loss.ignores or not layer.loss_param.has("ignore_label"):
        return
    altered = as_(Cause.IGNORED_LABEL, loss_param=_without(layer.loss_param, "ignore_label"))
    name = layer.bottom[1]
    if name in rejection.case.inputs and hasattr(node.layer, "axis"):
        classes = rejection.net.bottoms_of(node)[0].shape[node.layer.axis]
        labels = np.clip(rejection.case.inputs[name], 0, classes - 1)
        altered = replace(altered, case=replace(altered.case, inputs={**rejection.case.inputs, name: labels}))
    yield altered


def _options(loss: Loss, layer: LayerParameter, node: Node, as_: Make) -> Iterator[_Altered]:
    """Options not read, or read where there are none."""
    apart = {"loss_param", loss.axis_option.partition(".")[0]}
    for field in sorted({f"{loss.stem}_param", *node.layer.messages} - apart):
        own: Any = _message(layer, node, field)
        for name in sorted(own.present) if own is not None else ():
            yield as_(Cause.OPTION_IGNORED, **_put(layer, field, _without(own, name)))
    for misreading in loss.misreadings:
        field, _, name = misreading.option.partition(".")
        message: Any = _message(layer, node, field)
        if not hasattr(message, name) or message.schema[name].repeated:
            continue  # another form has none, or a number for each class
        for value in misreading.values(getattr(message, name)):
            yield as_(Cause(misreading.cause), **_put(layer, field, replace(message, **{name: value})))
    if loss.default_mode:
        yield from (
            as_(Cause.NORMALISATION_MODE, **_put(layer, "loss_param", each)) for each in _modes(loss, layer, node)
        )


def _modes(loss: Loss, layer: LayerParameter, node: Node) -> Iterator[Any]:
    """The ``loss_param`` with its normalization not read, or read as another."""
    given: Any = _message(layer, node, "loss_param")
    meant = loss.default_mode
    if given.has("normalization"):
        yield _without(given, "normalization")
        meant = given.normalization
    elif given.has("normalize"):
        yield replace(given, normalize=not given.normalize)
        return
    for mode in given.schema["normalization"].numbers:
        if mode != meant:
            yield replace(given, normalization=mode, present=given.present | {"normalization"})


def _message(layer: LayerParameter, node: Node, field: str) -> Any:
    """A block as the layer's class reads it; None where Caffe's format has none and the class reads none."""
    return node.layer.own[field] if field in node.layer.messages else getattr(layer, field, None)


def _put(layer: LayerParameter, field: str, message: Any) -> dict[str, Any]:
    """The fields of the layer that hold a message in the place of its block, be it one of Caffe's or of a fork's."""
    text = f'layer {{ name: "l" type: "{layer.type}" {field} {{ {dump_fields(message)} }} }}'
    read = parse_net(text).layer[0]
    kept = {name: blocks for name, blocks in layer.extra.items() if name != field}
    held = {field: getattr(read, field)} if field in LayerParameter.schema else {}
    return {**held, "extra": Extra({**kept, **read.extra})}


def _without(message: Any, name: str) -> Any:
    kept = {field: getattr(message, field) for field in message.schema if message.has(field) and field != name}
    return type(message)(**kept)


def _axes(loss: Loss, layer: LayerParameter, node: Node, rejection: Rejection, as_: Make) -> Iterator[_Altered]:
    field, _, name = loss.axis_option.partition(".")
    bottoms = rejection.net.bottoms_of(node)
    for axis in range(bottoms[0].num_axes) if field and bottoms else ():
        if axis != getattr(node.layer, "axis", axis):
            yield as_(Cause.AXIS, **{field: replace(getattr(layer, field), **{name: axis})})


def _weights(layer: LayerParameter, as_: Make) -> Iterator[_Altered]:
    """Weights mixed up, forgotten, or counted where there are none."""
    weights = layer.loss_weight
    if not weights:
        yield as_(Cause.IMPLICIT_WEIGHT, loss_weight=(0.0,) * len(layer.top))
        if len(layer.top) > 1:
            yield as_(Cause.IMPLICIT_WEIGHT, loss_weight=(1.0,) * len(layer.top))
        return
    yield as_(Cause.WEIGHT_MISSING, loss_weight=(1.0,) * len(weights))
    yield as_(Cause.WEIGHT_SQUARED, loss_weight=tuple(w * w for w in weights))
    if len(set(weights)) > 1:
        yield as_(Cause.WEIGHTS_ORDER, loss_weight=weights[::-1])
        yield as_(Cause.WEIGHTS_ORDER, loss_weight=weights[:1] * len(weights))
    if any(weights[1:]):
        yield as_(Cause.SECOND_TOP, loss_weight=weights[:1] + (0.0,) * (len(weights) - 1))
        yield as_(Cause.SECOND_TOP, loss_weight=(weights[0], *(2 * w for w in weights[1:])))
        yield as_(Cause.SECOND_TOP, loss_weight=(weights[0], *(w / 2 for w in weights[1:])))


def _inputs(loss: Loss, layer: LayerParameter, node: Node, rejection: Rejection) -> Iterator[_Altered]:
    """Labels, targets, similarities and matrices read as something else."""
    given = rejection.case.inputs
    for bottom, name in zip(loss.bottoms, layer.bottom, strict=False):
        if name not in given:
            continue

        def as_(cause: Cause, array: Array, name: str = name) -> Iterator[_Altered]:
            if not np.array_equal(array, given[name], equal_nan=True):
                yield _Altered(cause, replace(rejection.case, inputs={**given, name: array}))

        y = given[name]
        if isinstance(bottom.role, Labels):
            yield from _labels(layer, node, rejection, y, as_)
        elif isinstance(bottom.role, Similarity):
            yield from as_(Cause.TRUNCATION, (y != 0).astype(np.float64))
            yield from as_(Cause.TRUNCATION, np.rint(y))
        elif isinstance(bottom.role, Targets):
            for array in (np.trunc(y), np.rint(y), (y >= 0.5).astype(np.float64)):
                yield from as_(Cause.TRUNCATION, array)
            yield from as_(Cause.TRANSPOSED, _by_columns(y))
        elif isinstance(bottom.role, Matrix):
            square = y.reshape(round(y.size**0.5), -1)
            yield from as_(Cause.TRANSPOSED, square.T.reshape(y.shape))
            yield from as_(Cause.OPTION_IGNORED, np.eye(len(square)).reshape(y.shape))


def _labels(
    layer: LayerParameter, node: Node, rejection: Rejection, y: Array, as_: Callable[[Cause, Array], Iterator[_Altered]]
) -> Iterator[_Altered]:
    scores = rejection.net.bottoms_of(node)[0]
    own = getattr(node.layer, "axis", None)
    classes = scores.shape[own] if own is not None else scores.count // max(1, scores.shape[0])
    ignored = layer.loss_param.ignore_label if layer.loss_param.has("ignore_label") else None
    counted = np.trunc(y) != ignored if ignored is not None else np.ones(y.shape, bool)
    for shift in (-1, 1):
        yield from as_(Cause.LABEL_OFF_BY_ONE, np.where(counted, np.clip(np.trunc(y) + shift, 0, classes - 1), y))
    for rounded in (np.rint(y), np.floor(y), np.ceil(y)):
        yield from as_(Cause.TRUNCATION, np.where(counted, np.clip(rounded, 0, classes - 1), y))
    yield from as_(Cause.TRANSPOSED, _by_columns(y))
    positions = getattr(node.layer, "positions", None)
    if positions is not None and len(positions) > 1 and y.size == np.prod(positions):
        turned = y.reshape(positions[0], -1)
        yield from as_(Cause.TRANSPOSED, np.reshape(y, turned.T.shape).T.reshape(y.shape))


def _by_columns(array: Array) -> Array:
    return array.reshape(array.shape[0], -1).T.reshape(array.shape) if array.ndim else array
