"""InfogainLoss: cross entropy weighted by a matrix (``src/caffe/layers/infogain_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import covering, exact_sum, may_be_below, rounded, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.layers.blobproto import read_blob_file
from refimpl.layers.logits_loss import LogitsLoss
from refimpl.layers.softmax import log_softmax, softmax_gradient
from refimpl.quirk import LOSS_TUTORIAL, PROTO, Departure, Quirk

__all__ = ["InfogainLoss"]

FLOOR = float(FLOAT.rounded(1e-20))
"""kLOG_THRESHOLD, a float."""


class InfogainLoss(LogitsLoss):
    """``L = -sum sum_k H[label, k] log(max(p_k, 1e-20)) / Z`` over the counted positions, p the softmax.

    Shapes as in `LogitsLoss`, the classes on ``infogain_loss_param.axis``. The matrix H (classes * classes entries, any
    shape) is the third bottom, else the BlobProto file ``infogain_loss_param.source``. ``loss_param``: ignore_label,
    normalization (default VALID); ``normalize`` is refused.

    ``dL/dx_i = w (p_i sum_k H[label, k] - H[label, i]) / Z`` at counted positions and 0 elsewhere, w the top's diff; H
    is read in backward, too. The diff d of a second top adds ``p_i (d_i - sum_j d_j p_j)``; BVLC Caffe leaves it out.

    Kinks: where a probability with a nonzero H[label, k] is 1e-20. Below it, Caffe's gradient stays that of the unheld
    logarithm (a departure).
    """

    type = "InfogainLoss"
    exact_bottoms = None
    min_bottoms = 2
    max_bottoms = 3
    quirks = (
        Quirk(
            "second-top-no-gradient",
            "the weight of InfogainLoss's second top counts in the loss and sends no gradient down",
            "the gradient is the derivative of the reported total, second top included",
            f"src/caffe/layers/infogain_loss_layer.cpp Backward_cpu; {LOSS_TUTORIAL}",
            number=3,
        ),
        Quirk(
            "second-top-shares-softmax",
            "InfogainLoss's second top is the memory that its backward reads: a layer that works on that top in place "
            "changes the gradient",
            "backward takes the softmax that forward computed",
            "src/caffe/layers/infogain_loss_layer.cpp Forward_cpu (ShareData); include/caffe/layer.hpp Backward",
            number=4,
        ),
        Quirk(
            "infogain-matrix-forced",
            "force_backward is fatal with an infogain matrix as third bottom: it asks for a gradient into the matrix",
            "bottoms that cannot take a gradient are exempt from force_backward",
            f"include/caffe/layers/loss_layer.hpp AllowForceBackward; {PROTO} NetParameter.force_backward",
            number=12,
        ),
    )
    departures = (
        Departure(
            "infogain-log-floor",
            "a probability with a nonzero entry of H is below 1e-20",
            "its logarithm is held at log(1e-20), and the gradient is that of the unheld loss",
            "src/caffe/layers/infogain_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
    )

    def softmax_axis(self) -> int:
        return self.param.infogain_loss_param.axis

    def check_fields(self, tops: int) -> None:
        super().check_fields(tops)
        if self.param.loss_param.has("normalize"):
            raise LayerError("InfogainLoss does not take the deprecated normalize", "use normalization")

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        if len(bottom) == 2:
            self.matrix = self._read_source()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        classes = bottom[0].shape[self.axis]
        matrix = self._matrix(bottom)
        if matrix.count != classes**2:
            raise LayerError(
                f"the infogain matrix has {matrix.count} entries (shape {matrix.shape}) for {classes} classes",
                f"it needs {classes} x {classes}",
            )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        labels, counted = self.read_labels(bottom)
        probability = self.keep_softmax(bottom, top)
        terms = self._by_class(self._rows(bottom)[labels]) * -log_softmax(bottom[0].wide, self.axis, FLOOR, probability)
        top[0].data[...] = exact_sum(np.where(self.along_classes(counted), terms, 0.0)) / self.divisor(counted)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        labels, counted = self.read_labels(bottom)
        p = self._softmax(top)
        weights = self._by_class(self._rows(bottom)[labels])
        held = may_be_below(p, FLOOR) & (value_of(weights) != 0) & self.along_classes(counted)
        if held.any() and self.dialect.derivative("infogain-log-floor"):
            weights = weights * np.where(held, step(p - FLOOR), 1.0)
        sums = self.along_classes(exact_sum(weights, self.axis))
        scale = top[0].wide_diff / self.divisor(counted)
        gradient = covering(weighted(p * sums - weights, scale), weighted(p, sums * scale) - weighted(weights, scale))
        gradient = np.where(self.along_classes(counted), gradient, 0.0)
        if self.second_top_asks(top) and not self.dialect.takes("second-top-no-gradient"):
            gradient = gradient + softmax_gradient(p, top[1].wide_diff, self.axis)
        bottom[0].diff[...] = gradient

    def refuse_label_gradient(self, propagate_down: Sequence[bool]) -> None:
        """Nor does the matrix take one; as with labels, Caffe says so in backward."""
        super().refuse_label_gradient(propagate_down)
        if len(propagate_down) > 2 and propagate_down[2]:
            raise LayerError(
                "InfogainLoss cannot backpropagate to its matrix", "give propagate_down: false for the third bottom"
            )

    def allow_force_backward(self, bottom_index: int) -> bool:
        if bottom_index == 2:
            return self.dialect.takes("infogain-matrix-forced")
        return super().allow_force_backward(bottom_index)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """A logarithm moves by no more than any one of its logits does."""
        labels, counted = self.read_labels(bottom)
        logarithms = log_softmax(value_of(bottom[0].wide), self.axis, FLOOR * FLOOR)
        matters = (value_of(self._by_class(self._rows(bottom)[labels])) != 0) & self.along_classes(counted)
        distance = np.where(matters, np.absolute(logarithms - np.log(FLOOR)), np.inf)
        nearest = np.broadcast_to(distance.min(axis=self.axis, keepdims=True), bottom[0].shape)
        return [nearest, *[None] * (len(bottom) - 1)]

    def _softmax(self, top: Sequence[Blob]) -> Any:
        """What forward computed; for BVLC Caffe, what has become of it in the second top."""
        changed = len(top) > 1 and not np.array_equal(
            value_of(top[1].data), value_of(self.probability.data), equal_nan=True
        )
        if changed and self.dialect.takes("second-top-shares-softmax"):
            return top[1].wide
        return self.probability.wide

    def _read_source(self) -> Blob:
        if not self.param.infogain_loss_param.has("source"):
            raise LayerError(
                "InfogainLoss has no matrix", "give a third bottom, or infogain_loss_param { source: ... }"
            )
        values = read_blob_file(self.param.infogain_loss_param.source, self.context.files)
        blob = self.context.blob(*values.shape)
        blob.data[...] = rounded(values, blob.data)
        return blob

    def _matrix(self, bottom: Sequence[Blob]) -> Blob:
        return bottom[2] if len(bottom) > 2 else self.matrix

    def _rows(self, bottom: Sequence[Blob]) -> Any:
        """H as (classes, classes)."""
        return self._matrix(bottom).wide.reshape(bottom[0].shape[self.axis], -1)

    def _by_class(self, rows: Any) -> Any:
        """Rows picked by the labels, (positions..., classes), in the shape of the logits."""
        return np.moveaxis(rows, -1, self.axis)
