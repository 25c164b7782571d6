"""What can be wrong in backward: who runs, in which order, what adds up, what is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.mutants.common import random_last_bit
from conformance.mutants.mutant import Mutant
from conformance.mutants.net.bookkeeping import built_from, is_loss, planned
from conformance.mutants.slips import Blobs, gradient
from conformance.record.cause import Cause
from refimpl.backward_plan import Node
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from refimpl.layers.split import Split
from refimpl.messages import LayerParameter, NetParameter
from refimpl.net import Net

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"
UNASKED = "gradients that nobody asks for and nothing reads are a `should`: net.unasked-diff"


def _splitting(change: Any) -> dict[str, type[Layer]]:
    """A Split whose gradient is another function of its tops' diffs, stacked along axis 0."""

    class Wrong(Split):
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            if propagate_down[0]:
                bottom[0].diff[...] = change(np.stack([blob.wide_diff for blob in top]))

    return {"Split": Wrong}


_SPLITS = (
    Mutant(
        "net/split-last-wins",
        "A blob read twice gets the gradient of its last reader alone.",
        "consumers that write to one diff",
        Cause.FAN_OUT,
        _splitting(lambda diffs: diffs[-1]),
    ),
    Mutant(
        "net/split-first-wins",
        "A blob read twice gets the gradient of its first reader alone.",
        "consumers that write to one diff",
        Cause.FAN_OUT,
        _splitting(lambda diffs: diffs[0]),
    ),
    Mutant(
        "net/split-two-only",
        "A blob read three times gets the gradients of two readers.",
        "an addition of two operands",
        Cause.FAN_OUT,
        _splitting(lambda diffs: diffs[:2].sum(0)),
    ),
    Mutant(
        "net/split-averages",
        "A blob read twice gets the mean of its readers' gradients.",
        CLASSIC,
        Cause.FAN_OUT,
        _splitting(lambda diffs: diffs.mean(0)),
        dialect="bvlc",
    ),
    Mutant(
        "net/split-in-float32",
        "Gradients of several readers are added in float32 in a float64 net.",
        "an accumulator of type float",
        Cause.FLOAT32,
        _splitting(lambda diffs: diffs.astype(FLOAT.numpy).sum(0)),
    ),
)


def _nothing_below_frozen(nodes: list[Node]) -> None:
    for node in nodes:
        if any(spec.lr_mult == 0 for spec in node.layer.param.param):
            node.bottom_need_backward = [False] * len(node.bottoms)


def _frozen_learn(nodes: list[Node]) -> None:
    for node in nodes:
        node.layer.param_propagate_down = [True] * len(node.layer.blobs)


def _all_or_none(nodes: list[Node]) -> None:
    for node in nodes:
        if not all(node.layer.param.propagate_down):
            node.bottom_need_backward = [False] * len(node.bottoms)


def _without_propagate_down(net: NetParameter, phase: str) -> NetParameter:
    return replace(net, layer=tuple(replace(layer, propagate_down=()) for layer in net.layer))


def _only_last_head(nodes: list[Node]) -> None:
    heads = [node for node in nodes if is_loss(node.type) and node.need_backward]
    for node in heads[:-1]:
        node.need_backward = False


def _labels_too(nodes: list[Node]) -> None:
    for node in nodes:
        if is_loss(node.type) and any(node.bottom_need_backward):
            node.bottom_need_backward = [True] * len(node.bottoms)


def _first_bottom_only(nodes: list[Node]) -> None:
    for node in nodes:
        node.bottom_need_backward = [needed and i == 0 for i, needed in enumerate(node.bottom_need_backward)]


class _InForwardOrder(Net):
    def backward(self) -> None:
        for node in self.layers:
            self.backward_layer(node)


class _NotInTest(Net):
    def backward(self) -> None:
        if self.phase != "TEST":
            super().backward()


class _DiffsAddUp(Net):
    """Adds every gradient to what the blob's diff held."""

    def backward_layer(self, node: Node) -> None:
        bottoms = [
            blob for blob, wanted in zip(self.bottoms_of(node), node.bottom_need_backward, strict=True) if wanted
        ]
        held = [blob.diff.copy() for blob in bottoms]
        super().backward_layer(node)
        if node.need_backward:
            for blob, before in zip(bottoms, held, strict=True):
                blob.diff[...] = blob.diff + before


class _ParametersOverwritten(Net):
    def backward(self) -> None:
        self.clear_param_diffs()
        super().backward()


class _ParametersLast(Net):
    """Of parameters that are shared, each layer overwrites the diff."""

    def backward_layer(self, node: Node) -> None:
        if (
            len(self._parameter_owners) < sum(len(n.layer.blobs) for n in self.layers)
            and node.layer.blobs
            and node.need_backward
        ):
            for blob in node.layer.blobs:
                blob.diff[...] = 0
        super().backward_layer(node)


class _NotShared(Net):
    def _share_parameters(self, param: LayerParameter, layer: Layer) -> None:
        unnamed = tuple(replace(spec, name="") for spec in param.param)
        super()._share_parameters(replace(param, param=unnamed), layer)


_PLAN = (
    Mutant(
        "net/force-backward-not-read",
        "force_backward has no effect.",
        CLASSIC,
        Cause.GRADIENT_MISSING,
        net=built_from(lambda net, phase: replace(net, force_backward=False)),
    ),
    Mutant(
        "net/force-backward-always",
        "Every net runs backward as if force_backward were set.",
        CLASSIC,
        Cause.GRADIENT_UNASKED,
        net=built_from(lambda net, phase: replace(net, force_backward=True)),
        equivalent=UNASKED,
    ),
    Mutant(
        "net/labels-take-gradients",
        "Where a loss's scores take a gradient, its labels are asked to as well.",
        "nets with a learnable layer below the labels",
        Cause.REFUSES,
        net=planned(_labels_too),
    ),
    Mutant(
        "net/propagate-down-not-read",
        "propagate_down has no effect.",
        CLASSIC,
        Cause.GRADIENT_UNASKED,
        net=built_from(_without_propagate_down),
    ),
    Mutant(
        "net/propagate-down-all-or-none",
        "One propagate_down: false stops the gradients of all of a layer's bottoms.",
        CLASSIC,
        Cause.GRADIENT_MISSING,
        net=planned(_all_or_none),
    ),
    Mutant(
        "net/first-bottom-only",
        "Only the first bottom of a layer takes a gradient.",
        "an early Caffe that sent the gradient to the prediction alone",
        Cause.ONE_BOTTOM,
        net=planned(_first_bottom_only),
    ),
    Mutant(
        "net/frozen-layer-blocks",
        "A layer with a parameter of lr_mult 0 passes no gradient on.",
        "freezing taken for cutting off",
        Cause.GRADIENT_MISSING,
        net=planned(_nothing_below_frozen),
    ),
    Mutant(
        "net/frozen-parameters-learn",
        "Parameters of lr_mult 0 get gradients.",
        CLASSIC,
        Cause.GRADIENT_UNASKED,
        net=planned(_frozen_learn),
        equivalent=UNASKED,
    ),
    Mutant(
        "net/only-last-head",
        "Of several losses only the last runs backward.",
        "deep supervision whose side losses are counted and not trained",
        Cause.GRADIENT_MISSING,
        net=planned(_only_last_head),
    ),
    Mutant(
        "net/backward-in-forward-order",
        "Layers run backward in the order of forward.",
        CLASSIC,
        Cause.GRADIENT_MISSING,
        net=_InForwardOrder,
    ),
    Mutant(
        "net/no-backward-in-test",
        "In phase TEST nothing runs backward.",
        "the belief that a test net has no gradient",
        Cause.GRADIENT_MISSING,
        net=_NotInTest,
    ),
    Mutant(
        "net/diffs-add-up",
        "Every gradient is added to what the blob's diff held.",
        "the contract of parameter diffs applied to all",
        Cause.ACCUMULATES,
        net=_DiffsAddUp,
        dialect="bvlc",
    ),
    Mutant(
        "net/parameter-diffs-overwritten",
        "A backward pass clears the parameters' diffs first.",
        "the contract of bottom diffs applied to all; iter_size then trains on the last batch",
        Cause.ACCUMULATES,
        net=_ParametersOverwritten,
    ),
    Mutant(
        "net/shared-parameter-last-wins",
        "A shared parameter's diff holds the last layer's gradient alone.",
        CLASSIC,
        Cause.FAN_OUT,
        net=_ParametersLast,
    ),
    Mutant(
        "net/parameters-not-shared", "Parameters of one name are not shared.", CLASSIC, Cause.FAN_OUT, net=_NotShared
    ),
)

_PROMISES = (
    Mutant(
        "net/promises-bitwise",
        "It promises the same bits whenever it is asked, and rounds gradients as it happens.",
        "atomic additions in any order on a GPU",
        Cause.RANDOM,
        {"EuclideanLoss": gradient(random_last_bit)(REGISTRY["EuclideanLoss"])},
        determinism="bitwise",
    ),
)

MUTANTS = (*_SPLITS, *_PLAN, *_PROMISES)
