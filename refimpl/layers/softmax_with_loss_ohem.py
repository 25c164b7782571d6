"""SoftmaxWithLossOHEM: R-FCN's softmax loss with each position's loss beside it, for online hard example mining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import pick_label
from refimpl.layers.logits_loss import LogitsLoss
from refimpl.layers.pre_fixed import PreFixedLossParameter, PreFixedNormalisation
from refimpl.layers.softmax import log_softmax, softmax, softmax_gradient
from refimpl.layers.softmax_with_loss import FLOOR, SoftmaxWithLoss
from refimpl.quirk import Departure, Quirk

__all__ = ["SoftmaxWithLossOHEM"]

_CPP = "intel/caffe@44d53638 src/caffe/layers/softmax_loss_ohem_layer.cpp"
SCRATCH = "softmax-ohem-scratch"
SECOND_OF_THREE = "softmax-ohem-second-of-three"
FIRST_ONLY = "softmax-ohem-first-positions"
OTHER_TOPS = "softmax-ohem-other-tops"


class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """SoftmaxWithLoss with up to three tops: the loss, the softmax, and every position's loss, 0 where it is ignored.

    ``loss_param`` knows PRE_FIXED as well. The normaliser of backward is that of forward. The mining itself is another
    layer's (BoxAnnotatorOHEM): nothing here is random.

    Intel's forward collects the losses in the bottom's diff, skipping ignored positions, and adds up as many entries
    from the front as there are counted positions: what an ignored position held before comes in, and the last ones
    are left out.
    """

    type = "SoftmaxWithLossOHEM"
    v1_type = ""
    max_tops = 3
    messages: ClassVar = {"loss_param": PreFixedLossParameter}
    forms = (Form("intel", _CPP),)
    quirks = (
        Quirk(
            SCRATCH,
            "forward collects losses in the bottom's diff and adds up the sizes of as many of its entries as count; "
            "an ignored position brings what the last backward left there, and shuts out one from the end; then the "
            "diff is 0",
            "the loss is the sum over the positions that count, and forward leaves diffs alone",
            f"{_CPP} Forward_cpu; include/caffe/layer.hpp Backward",
        ),
        Quirk(
            SECOND_OF_THREE,
            "with three tops the second is not written",
            "the second top is the softmax",
            f"{_CPP} Forward_cpu (top.size() == 2)",
        ),
    )
    departures = (
        Departure(
            FIRST_ONLY,
            "a position is ignored, and the loss is that of the first positions",
            "the gradient is that of every position that counts, the loss the sum of the first entries",
            f"{_CPP} Forward_cpu, Backward_cpu",
        ),
        Departure(
            OTHER_TOPS,
            "the diff of the second or the third top is not 0",
            "neither sends a gradient down",
            f"{_CPP} Backward_cpu",
        ),
    )

    def check_fields(self, tops: int) -> None:
        """Its softmax inside is given no weights, so that two tops may have two."""
        LogitsLoss.check_fields(self, tops)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        LogitsLoss.setup(self, bottom, top)
        self.normalisation = PreFixedNormalisation.of(self.own["loss_param"], "VALID")
        self.cached = 0.0
        self.left = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        for blob in top[2:]:
            blob.reshape_like(bottom[1])

    def divisor(self, counted: NDArray[np.bool_]) -> float:
        if self.cached == 0:
            raise LayerError("the normaliser is not known before the first forward", "run forward first")
        return self.cached

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        labels, counted = self.read_labels(bottom)
        probability = softmax(bottom[0].wide, self.axis)
        self.probability.data[...] = probability
        if len(top) == 2 or (len(top) == 3 and not self.dialect.takes(SECOND_OF_THREE)):
            top[1].data[...] = probability
        logarithm = np.take_along_axis(
            log_softmax(bottom[0].wide, self.axis, FLOOR), self.along_classes(labels), self.axis
        )
        losses = np.where(counted, -np.squeeze(logarithm, self.axis), 0.0).reshape(-1)
        self.cached = LogitsLoss.divisor(self, counted)
        scratch = not counted.all() and self.dialect.takes(SCRATCH)
        if scratch:
            losses = np.where(counted.reshape(-1), losses, bottom[0].wide_diff.reshape(-1)[: losses.size])
        summed = magnitude(losses[: int(counted.sum())]) if scratch else losses
        top[0].data[...] = exact_sum(summed) / self.cached
        for blob in top[2:]:
            blob.data[...] = losses.reshape(blob.shape)
        if SCRATCH in self.dialect.taken:
            bottom[0].diff[...] = 0.0
        self.left = bool(np.any(value_of(bottom[0].diff))) or SCRATCH in self.dialect.taken

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        super().backward(top[:1], propagate_down, bottom)
        if not propagate_down[0]:
            return
        self.left = False
        labels, counted = self.read_labels(bottom)
        if not counted.all() and SCRATCH in self.dialect.taken and self.dialect.derivative(FIRST_ONLY):
            first = np.arange(counted.size).reshape(counted.shape) < int(counted.sum())
            bottom[0].diff[...] = np.where(self.along_classes(first), bottom[0].wide_diff, 0.0)
        asked = any(np.any(value_of(blob.diff)) for blob in top[1:])
        if asked and self.dialect.derivative(OTHER_TOPS):
            bottom[0].diff[...] = bottom[0].wide_diff + self._of_other_tops(top, labels, counted)

    @property
    def unsettled(self) -> frozenset[str]:
        return frozenset({SCRATCH}) if self.left else frozenset()

    def _of_other_tops(self, top: Sequence[Blob], labels: NDArray[np.int64], counted: NDArray[np.bool_]) -> Any:
        p = self.probability.wide
        gradient = softmax_gradient(p, top[1].wide_diff, self.axis)
        for blob in top[2:]:
            of_label = weighted(
                p - pick_label(labels, p.shape[self.axis], self.axis),
                self.along_classes(blob.wide_diff.reshape(self.positions)),
            )
            gradient = gradient + np.where(self.along_classes(counted), of_label, 0.0)
        return gradient
