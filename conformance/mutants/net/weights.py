"""What can be wrong with loss weights: what they are, where they are kept, and what forgets them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.contract.dtypes import FLOAT
from conformance.mutants.mutant import Mutant
from conformance.mutants.net.bookkeeping import built_from, is_loss, weighted
from conformance.record.cause import Cause
from refimpl.backward_plan import Node
from refimpl.messages import LayerParameter, NetParameter
from refimpl.net import Net

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _unnarrowed(layer: LayerParameter, weights: tuple[float, ...]) -> list[float]:
    return [float(str(FLOAT.numpy.type(weight))) for weight in weights]


def _for_all_tops(layer: LayerParameter, weights: tuple[float, ...]) -> tuple[float, ...]:
    return weights[:1] * len(weights)


def _for_every_layer(net: NetParameter, phase: str) -> NetParameter:
    read = {name for layer in net.layer for name in layer.bottom}

    def given(layer: LayerParameter) -> tuple[float, ...]:
        ends = layer.top and layer.type not in ("Input", "Parameter", "DummyData", "Accuracy", "ArgMax")
        return layer.loss_weight or (tuple(float(top not in read) for top in layer.top) if ends else ())

    return replace(net, layer=tuple(replace(layer, loss_weight=given(layer)) for layer in net.layer))


class _ClearedByForward(Net):
    """Clears all diffs before a forward, the weights among them."""

    def forward(self) -> Any:
        for blob in self.blobs.values():
            blob.diff[...] = 0
        return super().forward()


class _ClearedByBackward(Net):
    """Clears the diffs of tops once backward has read them."""

    def backward_layer(self, node: Node) -> None:
        super().backward_layer(node)
        for blob in self.tops_of(node):
            blob.diff[...] = 0


class _StartsFromOne(Net):
    """Starts backward with 1 in every weighted top."""

    def backward(self) -> None:
        for node in self.layers:
            for blob, weight in zip(self.tops_of(node), node.loss_weights, strict=True):
                if weight != 0:
                    blob.diff[...] = 1
        super().backward()


class _OfConstruction(Net):
    """Starts backward with the weights that the net was built with."""

    def backward(self) -> None:
        for node in self.layers:
            for blob, weight in zip(self.tops_of(node), node.loss_weights, strict=True):
                if weight != 0:
                    blob.diff[...] = weight
        super().backward()


class _GrownHalf(Net):
    """Gives a top that has grown its weight back in the first entry only."""

    def forward_layer(self, node: Node) -> Any | None:
        before = [blob.reallocations for blob in self.tops_of(node)]
        part = super().forward_layer(node)
        for blob, known, weight in zip(self.tops_of(node), before, node.loss_weights, strict=True):
            if weight != 0 and blob.reallocations != known:
                blob.diff.ravel()[1:] = 0
                part = (blob.wide * blob.wide_diff).sum()
        return part


MUTANTS = (
    Mutant(
        "net/implicit-weight-forgotten",
        "A loss layer without loss_weight has the weight 0.",
        "smooth L1 and centre losses that do not call LossLayer's set-up: a loss is printed, nothing is trained",
        Cause.IMPLICIT_WEIGHT,
        net=weighted(lambda layer, weights: weights or (0.0,) * len(layer.top)),
    ),
    Mutant(
        "net/implicit-weight-added",
        "A loss layer with a loss_weight has 1 more than that.",
        "Caffe's loss layers whose top is consumed, without the consumer",
        Cause.IMPLICIT_WEIGHT,
        net=weighted(lambda layer, weights: [w + 1 for w in weights] if is_loss(layer.type) else weights),
    ),
    Mutant(
        "net/implicit-weight-for-all",
        "Every layer whose tops nothing consumes has the weight 1.",
        CLASSIC,
        Cause.IMPLICIT_WEIGHT,
        net=built_from(_for_every_layer),
    ),
    Mutant(
        "net/weight-0-is-1",
        "A loss_weight of 0 is taken for none: a loss layer's counts as 1.",
        "an unset field told from a set one by its truth",
        Cause.IMPLICIT_WEIGHT,
        net=weighted(lambda layer, weights: weights if any(weights) else ()),
    ),
    Mutant(
        "net/weight-not-float32",
        "loss_weight is a double: 0.1 is not rounded to float32.",
        "a prototxt reader that does not know its fields' types",
        Cause.COMMON_FACTOR,
        net=weighted(_unnarrowed),
    ),
    Mutant(
        "net/weight-negative-is-0",
        "Negative weights are taken for 0.",
        CLASSIC,
        Cause.SIGN,
        net=weighted(lambda layer, weights: [max(w, 0.0) for w in weights]),
    ),
    Mutant(
        "net/weight-small-is-0",
        "Weights below 1e-6 are taken for 0.",
        "a comparison of floats with a tolerance",
        Cause.GRADIENT_MISSING,
        net=weighted(lambda layer, weights: [w if abs(w) > 1e-6 else 0.0 for w in weights]),
    ),
    Mutant(
        "net/weight-is-integer",
        "loss_weight is read as an integer.",
        CLASSIC,
        Cause.COMMON_FACTOR,
        net=weighted(lambda layer, weights: [float(int(w)) if abs(w) > 1 else w for w in weights]),
    ),
    Mutant(
        "net/weights-reversed",
        "The weights of several tops are taken in reverse.",
        CLASSIC,
        Cause.WEIGHTS_ORDER,
        net=weighted(lambda layer, weights: weights[::-1]),
        dialect="bvlc",
    ),
    Mutant(
        "net/weight-of-first-top-for-all",
        "All tops of a layer have the first one's weight.",
        CLASSIC,
        Cause.WEIGHTS_ORDER,
        net=weighted(_for_all_tops),
    ),
    Mutant(
        "net/weight-of-second-top-dropped",
        "Only the first top of a layer keeps its weight.",
        CLASSIC,
        Cause.SECOND_TOP,
        net=weighted(lambda layer, weights: [w if i == 0 else 0.0 for i, w in enumerate(weights)]),
    ),
    Mutant(
        "net/backward-from-one",
        "Backward starts from 1 at every weighted top.",
        "layers that take the head gradient for 1",
        Cause.WEIGHT_MISSING,
        net=_StartsFromOne,
        dialect="bvlc",
    ),
    Mutant(
        "net/backward-from-construction",
        "Backward starts from the weights the net was built with, whatever the tops' diffs hold.",
        "confusion about which is the truth, the field or the diff",
        Cause.STALE_BUFFER,
        net=_OfConstruction,
    ),
    Mutant(
        "net/weights-cleared-by-forward",
        "Forward clears all diffs, and with them the weights.",
        "gradients set to zero before a pass, as other frameworks do",
        Cause.WEIGHT_MISSING,
        net=_ClearedByForward,
    ),
    Mutant(
        "net/weights-cleared-by-backward",
        "Backward clears the tops' diffs it has read: a second forward has no loss.",
        "a weight that lives in a diff, and a diff that is overwritten",
        Cause.STALE_BUFFER,
        net=_ClearedByBackward,
    ),
    Mutant(
        "net/grown-top-half-weighted",
        "A top that has grown has its weight in its first entry only.",
        "the weight that BVLC Caffe writes once, at set-up",
        Cause.STALE_BUFFER,
        net=_GrownHalf,
    ),
)
