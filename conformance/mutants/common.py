"""Slips that every loss layer invites: weights, signs, counts, what is kept and what is left over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT, TYPES
from conformance.mutants.scale import SCALE, without_last_item
from conformance.mutants.slips import At, Blobs, Slip, gradient, loss, reading, weight
from conformance.record.cause import Cause
from refimpl.layer import Layer

__all__ = ["COMMON", "random_last_bit"]

CLASSIC = "classic slip"


def _rounded(x: Any, at: At) -> Any:
    return FLOAT.rounded(x)


def _without_one_element(x: Any, at: At) -> Any:
    written = np.flatnonzero(x)
    if written.size:
        x.ravel()[written[written.size // 2]] = 0
    return x


def _by_columns(x: Any, at: At) -> Any:
    return x.reshape(at.batch, -1).T.reshape(x.shape)


def random_last_bit(x: Any, at: At) -> Any:
    last_bit = 2 * TYPES[at.bottom[0].data.dtype.name].unit_roundoff
    return x * (1 + last_bit * np.random.default_rng().integers(0, 2, x.shape))


def _accumulating(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            before = [blob.diff.copy() for blob in bottom]
            super().backward(top, propagate_down, bottom)
            for blob, held, wanted in zip(bottom, before, propagate_down, strict=True):
                if wanted:
                    blob.diff[...] = blob.diff + held

    return Wrong


def _weight_of_setup(layer: type[Layer]) -> type[Layer]:
    declared = weight(lambda held, at: at.layer.loss_weights[0] or held)
    return declared(layer)


def _zero_counts_as_absent(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def set_loss_weights(self, top: Blobs) -> None:
            if self.param.loss_weight and self.param.loss_weight[0] == 0:
                self.declared_weights = [1.0, *self.param.loss_weight[1:]]
            super().set_loss_weights(top)

    return Wrong


def _batch_of_setup(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.declared_batch = bottom[0].shape[self.items_axis]

    def stale(x: Any, at: At) -> Any:
        return x * at.batch / at.layer.declared_batch

    return gradient(stale)(loss(stale)(Wrong))


def _shared_scratch(layer: type[Layer]) -> type[Layer]:
    scratch: dict[tuple[int, ...], Any] = defaultdict(float)

    def leaking(x: Any, at: At) -> Any:
        left, scratch[x.shape] = scratch[x.shape], x
        return np.where(x == 0, left, x)

    return gradient(leaking)(layer)


def _asked_or_not(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            super().backward(top, [True, *propagate_down[1:]], bottom)

    return Wrong


def _one_item_refused(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            if bottom[0].shape[self.items_axis] == 1:
                raise IndexError("too many indices for a batch that was squeezed away")
            super().forward(bottom, top)

    return Wrong


def _centred_in_place(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            self.kept = bottom[0].data.copy()
            bottom[0].data[...] = bottom[0].data - bottom[0].data.max()

        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            shifted = bottom[0].data.copy()
            bottom[0].data[...] = self.kept
            super().backward(top, propagate_down, bottom)
            bottom[0].data[...] = shifted

    return Wrong


COMMON = (
    *SCALE,
    Slip(
        "scores-read-as-float32",
        "{type} rounds its first bottom to float32, in float64 too.",
        "a copy of the inputs to a device whose buffers are of one type",
        Cause.FLOAT32,
        reading(_rounded),
    ),
    Slip(
        "gradient-unweighted",
        "The gradient of {type} lacks the top's diff, so that loss_weight scales the loss alone.",
        "Python loss layers that leave top[0].diff out, and fused losses of frameworks that ignored the head gradient",
        Cause.WEIGHT_MISSING,
        weight(lambda held, at: np.ones_like(held)),
    ),
    Slip(
        "gradient-weighted-twice",
        "The gradient of {type} carries the loss_weight twice.",
        CLASSIC,
        Cause.WEIGHT_SQUARED,
        weight(lambda held, at: held * held),
    ),
    Slip(
        "top-weighted",
        "The top of {type} holds the loss times its weight already, so that the net's loss carries the weight twice.",
        CLASSIC,
        Cause.WEIGHT_SQUARED,
        loss(lambda x, at: x * (at.layer.loss_weights[0] or 1.0)),
    ),
    Slip(
        "weight-of-setup",
        "Backward of {type} multiplies by the loss_weight of the prototxt and not by what the top's diff holds.",
        "confusion about which is the truth, the field or the diff, once either is changed between the passes",
        Cause.STALE_BUFFER,
        _weight_of_setup,
    ),
    Slip(
        "zero-weight-counts-as-absent",
        "{type} takes a loss_weight of 0 for one that is not given, and weighs 1.",
        "`weight or 1`, where a weight of 0 is to switch a loss off",
        Cause.IMPLICIT_WEIGHT,
        _zero_counts_as_absent,
    ),
    Slip(
        "gradient-not-normalised",
        "The gradient of {type} is not divided by the normaliser that divides the loss.",
        "CTC and centre loss layers whose loss is a mean over the batch and whose gradient is that of the sum",
        Cause.BATCH_RATIO,
        gradient(lambda x, at: x * at.normaliser),
    ),
    Slip(
        "loss-not-normalised",
        "The loss of {type} is not divided by its normaliser, the gradient is.",
        "ports of centre loss whose reported value is a sum",
        Cause.BATCH_RATIO,
        loss(lambda x, at: x * at.normaliser),
    ),
    Slip(
        "gradient-negated",
        "The gradient of {type} has the opposite sign.",
        "darknet's deltas, which are negative gradients",
        Cause.SIGN,
        gradient(lambda x, at: -x),
    ),
    Slip(
        "loss-negated",
        "{type} reports its loss with the opposite sign.",
        "a Dice loss that reports a score, larger is better",
        Cause.SIGN,
        loss(lambda x, at: -x),
    ),
    Slip(
        "gradient-doubled",
        "The gradient of {type} is twice what it should be.",
        "the half of a square's derivative forgotten",
        Cause.FACTOR_2,
        gradient(lambda x, at: 2 * x),
    ),
    Slip(
        "gradient-accumulates",
        "{type} adds its gradient to what the bottom's diff held.",
        "the contract that bottom diffs are written and parameter diffs are added to, read the wrong way round",
        Cause.ACCUMULATES,
        _accumulating,
    ),
    Slip(
        "gradient-zero",
        "The gradient of {type} is 0 everywhere.",
        "what Caffe's own gradient check of ContrastiveLoss lets pass",
        Cause.GRADIENT_MISSING,
        gradient(lambda x, at: 0 * np.nan_to_num(x)),
    ),
    Slip(
        "loss-off-by-a-thousandth",
        "The loss of {type} is 0.1 % too large.",
        CLASSIC,
        Cause.COMMON_FACTOR,
        loss(lambda x, at: 1.001 * x),
    ),
    Slip(
        "gradient-off-by-a-thousandth",
        "The gradient of {type} is 0.1 % too large.",
        "a cosine loss whose gradient was off by a constant that the learning rate was to absorb",
        Cause.COMMON_FACTOR,
        gradient(lambda x, at: 1.001 * x),
    ),
    Slip(
        "loss-in-float32",
        "The loss of {type} is computed in float32 in a float64 net.",
        "an accumulator of type float in code that is generic over its type",
        Cause.FLOAT32,
        loss(_rounded),
    ),
    Slip(
        "gradient-in-float32",
        "The gradient of {type} is computed in float32 in a float64 net.",
        "a temporary buffer of type float in code that is generic over its type",
        Cause.FLOAT32,
        gradient(_rounded),
    ),
    Slip(
        "last-item-lost",
        "The last item of a batch gets no gradient from {type}.",
        "a loop that ends one early",
        Cause.LAST_SAMPLE,
        gradient(without_last_item),
    ),
    Slip(
        "one-element-lost",
        "One element of {type}'s gradient is left 0.",
        "a grid that does not cover all threads",
        Cause.ONE_ELEMENT,
        gradient(_without_one_element),
    ),
    Slip(
        "gradient-transposed",
        "The gradient of {type} is written in column-major order.",
        CLASSIC,
        Cause.TRANSPOSED,
        gradient(_by_columns),
    ),
    Slip(
        "batch-of-setup",
        "{type} divides by the batch size that the net declared and not by the one it is fed.",
        "buffers and counts sized in LayerSetUp of contrastive, triplet and Dice layers",
        Cause.STALE_BUFFER,
        _batch_of_setup,
    ),
    Slip(
        "scratch-shared-by-nets",
        "Where {type}'s gradient is 0, it writes what it wrote there before, in whichever net.",
        "a layer for hard examples whose skipped slots keep the gradient of the backward pass before",
        Cause.STALE_BUFFER,
        _shared_scratch,
    ),
    Slip(
        "scores-changed-in-place",
        "{type} leaves its first bottom with its maximum subtracted.",
        "an L1 loss that zeroes NaN in its bottom's data",
        Cause.INPUT_CHANGED,
        _centred_in_place,
    ),
    Slip(
        "propagate-down-ignored",
        "{type} writes the gradient of its first bottom whether it is asked for or not.",
        "a Dice layer that never looks at propagate_down",
        Cause.GRADIENT_UNASKED,
        _asked_or_not,
    ),
    Slip(
        "last-bit-random",
        "The last bit of {type}'s gradient changes from run to run.",
        "atomic additions in any order on a GPU",
        Cause.RANDOM,
        gradient(random_last_bit),
    ),
    Slip(
        "batch-of-one-refused",
        "{type} fails on a batch of one.",
        "an axis of length 1 squeezed away",
        Cause.REFUSES,
        _one_item_refused,
    ),
)
