"""What can be wrong in EuclideanLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, At, Blobs, Slip, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.euclidean_loss import EuclideanLoss

__all__ = ["MUTANTS"]


class _FirstBottomOnly(EuclideanLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [propagate_down[0], False], bottom)


class _SecondNeedsFirst(EuclideanLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, [propagate_down[0], all(propagate_down)], bottom)


class _BottomsMixedUp(EuclideanLoss):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down[::-1], bottom)


class _Masked(EuclideanLoss):
    """Reads loss_param, as SigmoidCrossEntropyLoss does."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        ignored = self.param.loss_param
        if ignored.has("ignore_label"):
            self.difference.data[bottom[1].integers().reshape(bottom[0].shape) == ignored.ignore_label] = 0
            top[0].data[...] = (self.difference.wide**2).sum() / (2 * bottom[0].shape[0])


class _Normalised(EuclideanLoss):
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if self.param.loss_param.normalization == "FULL" and self.param.loss_param.has("normalization"):
            top[0].data[...] = top[0].wide * bottom[0].shape[0] / bottom[0].count


class _SequentialFloat32(EuclideanLoss):
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if bottom[0].data.dtype == FLOAT.numpy:
            squares = np.square(self.difference.data).ravel()
            top[0].data[...] = np.cumsum(squares, dtype=FLOAT.numpy)[-1] / FLOAT.numpy.type(2 * bottom[0].shape[0])


def _expanded(x: Any, at: At) -> Any:
    a, b = (blob.data.reshape(at.batch, -1) for blob in at.bottom)
    squares = (a * a).sum(axis=1, dtype=a.dtype) + (b * b).sum(axis=1, dtype=a.dtype)
    return (squares - 2 * (a * b).sum(axis=1, dtype=a.dtype)).sum() / (2 * at.batch)


MUTANTS = mutants_of(
    "euclidean_loss",
    EuclideanLoss,
    (
        *COMMON,
        REWRITTEN,
        Slip(
            "half-forgotten",
            "The loss is the squared distance over N, without the half.",
            "classic slip",
            Cause.FACTOR_2,
            loss(lambda x, at: 2 * x),
            dialect="bvlc",
        ),
        Slip(
            "mean-of-squares",
            "Loss and gradient are divided by the number of entries and not by the batch size.",
            "the expectation that a Euclidean loss is a mean squared error",
            Cause.INNER_SIZE,
            lambda layer: gradient(lambda x, at: x / at.entries)(loss(lambda x, at: x / at.entries)(layer)),
        ),
        Slip(
            "loss-mean-of-squares",
            "The loss is divided by the number of entries, the gradient by the batch size.",
            "conversions between frameworks that came out a hundred times too large",
            Cause.INNER_SIZE,
            loss(lambda x, at: x / at.entries),
        ),
        Slip(
            "zero-costs",
            "1e-4 is added to every square, so that a difference of 0 costs something.",
            "an L1 layer whose masked and exact pixels cost the root of its epsilon",
            Cause.UNNAMEABLE,
            loss(lambda x, at: x + 1e-4 * at.entries / 2),
        ),
        Slip(
            "square-expanded",
            "The square is expanded: |a|^2 + |b|^2 - 2ab, which cancels.",
            "a distance by matrix products",
            Cause.UNNAMEABLE,
            loss(_expanded),
        ),
        Slip(
            "root-of-squares",
            "The loss is the distance and not its square.",
            "the name of the layer taken at its word",
            Cause.UNNAMEABLE,
            loss(lambda x, at: np.sqrt(x)),
        ),
        Slip(
            "first-bottom-only",
            "Only the first bottom gets a gradient.",
            "an early Caffe that sent the gradient to the prediction alone",
            Cause.ONE_BOTTOM,
            instead(_FirstBottomOnly),
        ),
        Slip(
            "second-needs-first",
            "The second bottom gets a gradient only where the first does.",
            "classic slip",
            Cause.ONE_BOTTOM,
            instead(_SecondNeedsFirst),
        ),
        Slip(
            "bottoms-mixed-up",
            "propagate_down of one bottom decides about the other.",
            "classic slip",
            Cause.ONE_BOTTOM,
            instead(_BottomsMixedUp),
        ),
        Slip(
            "second-not-negated",
            "Both bottoms get the gradient of the first.",
            "classic slip",
            Cause.ONE_BOTTOM,
            gradient(lambda x, at: -x, 1),
        ),
        Slip(
            "second-not-normalised",
            "The gradient of the second bottom is not divided by the batch size.",
            "classic slip",
            Cause.ONE_BOTTOM,
            gradient(lambda x, at: x * at.batch, 1),
        ),
        Slip(
            "ignore-label-honoured",
            "Entries whose target is loss_param's ignore_label are left out.",
            "loss_param accepted by a layer that has no use for it",
            Cause.OPTION_IGNORED,
            instead(_Masked),
        ),
        Slip(
            "normalization-honoured",
            "normalization: FULL divides the loss by the number of entries.",
            "loss_param accepted by a layer that has no use for it",
            Cause.OPTION_IGNORED,
            instead(_Normalised),
        ),
        Slip(
            "summed-in-float32",
            "A float32 net adds up the squares one by one in float32.",
            "BVLC Caffe's sum on the CPU, half a per cent off at 2^24 entries",
            Cause.NONE,
            instead(_SequentialFloat32),
            equivalent="any order of addition is within the bound; accuracy over millions of entries is a `should`",
        ),
    ),
)
