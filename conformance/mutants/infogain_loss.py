"""What can be wrong in InfogainLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.logits import LOGITS, SECOND_TOP
from conformance.mutants.normalising import CONTROL, IGNORING, normalising, with_default
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of
from conformance.record.cause import Cause
from refimpl.layer import pick_label
from refimpl.layers.infogain_loss import FLOOR, InfogainLoss

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _matrix(change: Callable[[Any], Any]) -> Alter:
    """The matrix read as another one, (classes, classes)."""

    class Wrong(InfogainLoss):
        def _rows(self, bottom: Blobs) -> Any:
            return change(super()._rows(bottom).copy())

    return instead(Wrong)


def _terms(at: At) -> tuple[Any, Any, Any]:
    """H[label], the softmax and what counts, in the scores' shape."""
    layer = at.layer
    labels, counted = layer.read_labels(at.bottom)
    weights = np.moveaxis(layer._rows(at.bottom)[labels], -1, layer.axis)
    return weights, layer.probability.wide, np.broadcast_to(layer.along_classes(counted), weights.shape)


def _sum_of(logarithm: Callable[[Any], Any]) -> Alter:
    """The loss with another logarithm."""

    def change(_: Any, at: At) -> Any:
        weights, p, counted = _terms(at)
        return -np.where(counted, weights * logarithm(p), 0).sum() / at.normaliser

    return loss(change)


def _gradient_of(formula: Callable[[Any, Any, int], Any]) -> Alter:
    """Another gradient, of H[label], the softmax and the axis."""

    def change(_: Any, at: At) -> Any:
        weights, p, counted = _terms(at)
        return np.where(counted, formula(weights, p, at.layer.axis) * at.top[0].wide_diff / at.normaliser, 0)

    return gradient(change, 0)


def _softmax_like(x: Any, at: At) -> Any:
    weights, p, counted = _terms(at)
    hot = pick_label(at.layer.read_labels(at.bottom)[0], p.shape[at.layer.axis], at.layer.axis)
    scale = weights.sum(axis=at.layer.axis, keepdims=True) * at.top[0].wide_diff / at.normaliser
    return np.where(counted, (p - hot) * scale, 0)


def _short_where_stochastic(weights: Any, p: Any, axis: int) -> Any:
    """The sum of a row left out where it is 1, or as good as."""
    total = weights.sum(axis, keepdims=True)
    return p * np.where(np.absolute(total - 1) < 2.0**-6, 1, total) - weights


class _ProbabilitiesIn(InfogainLoss):
    """Takes its first bottom for probabilities, as the layer once did."""

    def keep_softmax(self, bottom: Blobs, top: Blobs) -> None:
        for blob in (self.probability, *top[1:]):
            blob.data[...] = bottom[0].wide

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        weights, p, counted = _terms(At(self, bottom, top))
        logarithms = np.log(np.maximum(p, FLOOR))
        top[0].data[...] = -np.where(counted, weights * logarithms, 0).sum() / At(self, bottom, top).normaliser


class _AxisOfSoftmax(InfogainLoss):
    def softmax_axis(self) -> int:
        given = self.param.softmax_param
        return given.axis if given.has("axis") else super().softmax_axis()


class _FileWins(InfogainLoss):
    """Reads the file even where there is a third bottom."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.file = self._read_source() if self.param.infogain_loss_param.has("source") else None

    def _matrix(self, bottom: Blobs) -> Any:
        return super()._matrix(bottom) if self.file is None else self.file


class _MatrixOfSetup(InfogainLoss):
    """Copies a third bottom when the net is built, before anything is in it."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        if len(bottom) > 2:
            self.matrix = self.context.blob(*bottom[2].shape)
            self.matrix.data[...] = bottom[2].data

    def _matrix(self, bottom: Blobs) -> Any:
        return self.matrix


class _EmptyRowsNotCounted(InfogainLoss):
    """Leaves labels whose row is 0 out of the count."""

    def divisor(self, counted: Any) -> float:
        return super().divisor(counted & self.rows_used)

    def read_labels(self, bottom: Blobs) -> Any:
        labels, counted = super().read_labels(bottom)
        self.rows_used = np.any(self._rows(bottom)[labels] != 0, axis=-1)
        return labels, counted


class _LabelCheckedFirst(InfogainLoss):
    """Checks a label's range before it looks whether the label is ignored, in backward."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        labels = bottom[1].integers()
        if np.any((labels < 0) | (labels >= bottom[0].shape[self.axis])):
            raise IndexError("label out of range")
        super().backward(top, propagate_down, bottom)


class _HalfQuirk(InfogainLoss):
    """Sends half of the second top's gradient down: neither dialect."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        for blob in top[1:]:
            blob.diff[...] = blob.diff / 2
        super().backward(top, propagate_down, bottom)
        for blob in top[1:]:
            blob.diff[...] = blob.diff * 2


def _identity(rows: Any) -> Any:
    return np.eye(len(rows))


def _diagonal(rows: Any) -> Any:
    return rows * np.eye(len(rows))


MUTANTS = mutants_of(
    "infogain_loss",
    InfogainLoss,
    (
        *COMMON,
        control(_sum_of(lambda p: np.log(np.maximum(p, FLOOR)))),
        control(
            _gradient_of(lambda weights, p, axis: p * weights.sum(axis, keepdims=True) - weights), "control-gradient"
        ),
        CONTROL,
        *normalising("VALID"),
        *IGNORING,
        *LOGITS,
        *SECOND_TOP,
        Slip(
            "default-batch-size",
            "Without a normalization the divisor is the batch size.",
            "the layer before it had a loss_param",
            Cause.NORMALISATION_MODE,
            with_default("BATCH_SIZE"),
        ),
        Slip(
            "default-full",
            "Without a normalization the divisor is FULL's.",
            CLASSIC,
            Cause.NORMALISATION_MODE,
            with_default("FULL"),
        ),
        Slip(
            "matrix-transposed",
            "H is indexed with the label as its column.",
            CLASSIC,
            Cause.TRANSPOSED,
            _matrix(np.transpose),
            dialect="bvlc",
        ),
        Slip(
            "matrix-beyond-four",
            "Entries of H beyond 4 are taken for 4.",
            "a matrix in a fixed-point type of few digits",
            Cause.UNNAMEABLE,
            _matrix(lambda rows: np.minimum(rows, 4)),
        ),
        Slip("matrix-ignored", "H is taken for the identity.", CLASSIC, Cause.OPTION_IGNORED, _matrix(_identity)),
        Slip(
            "matrix-diagonal-only",
            "Only H's diagonal is used.",
            "class weights where the layer has a matrix",
            Cause.UNNAMEABLE,
            _matrix(_diagonal),
        ),
        Slip(
            "matrix-rows-normalised",
            "H's rows are scaled to add up to 1.",
            "H taken for probabilities",
            Cause.UNNAMEABLE,
            _matrix(lambda rows: rows / np.where(rows.sum(1, keepdims=True) == 0, 1, rows.sum(1, keepdims=True))),
        ),
        Slip(
            "matrix-negatives-dropped",
            "Negative entries of H are taken for 0.",
            "H taken for probabilities",
            Cause.UNNAMEABLE,
            _matrix(lambda rows: np.maximum(rows, 0)),
        ),
        Slip(
            "gradient-without-row-sum",
            "The gradient is p - H[label]: the row's sum is left out.",
            "softmax's gradient with H for the one-hot label",
            Cause.UNNAMEABLE,
            _gradient_of(lambda weights, p, axis: p - weights),
        ),
        Slip(
            "gradient-without-row-sum-near-one",
            "The gradient leaves out the row's sum where that is 1 within 2^-6.",
            "a fast path for matrices whose rows are distributions, chosen by a tolerance",
            Cause.UNNAMEABLE,
            _gradient_of(_short_where_stochastic),
        ),
        Slip(
            "gradient-of-softmax",
            "The gradient is SoftmaxWithLoss's times the row's sum.",
            "a weighted softmax in place of the matrix",
            Cause.UNNAMEABLE,
            gradient(_softmax_like, 0),
        ),
        Slip(
            "probabilities-in",
            "The first bottom is taken for probabilities.",
            "the layer before its first bottom became logits",
            Cause.UNNAMEABLE,
            instead(_ProbabilitiesIn),
        ),
        Slip(
            "axis-of-softmax",
            "The axis is softmax_param's where that is set.",
            "the parameter of the inner layer, which Caffe overwrites",
            Cause.AXIS,
            instead(_AxisOfSoftmax),
        ),
        Slip(
            "file-wins",
            "The file is read even where there is a third bottom.",
            CLASSIC,
            Cause.OPTION_IGNORED,
            instead(_FileWins),
        ),
        Slip(
            "matrix-of-setup",
            "A third bottom is read when the net is built, before anything is in it.",
            "a matrix read once because files do not change",
            Cause.STALE_BUFFER,
            instead(_MatrixOfSetup),
        ),
        Slip(
            "empty-rows-not-counted",
            "Labels whose row of H is 0 are not counted by VALID.",
            CLASSIC,
            Cause.VALID_RATIO,
            instead(_EmptyRowsNotCounted),
        ),
        Slip(
            "label-checked-first",
            "Backward dies on an ignored label that is no class.",
            "Caffe's debug builds, which check the range before they look whether to ignore",
            Cause.REFUSES,
            instead(_LabelCheckedFirst),
        ),
        Slip("floor-missing", "The logarithm has no floor.", CLASSIC, Cause.LOG_FLOOR, _sum_of(np.log)),
        Slip(
            "floor-of-softmax",
            "The logarithm's floor is FLT_MIN, as in SoftmaxWithLoss.",
            "the two floors of Caffe's losses mixed up",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 2.0**-126))),
        ),
        Slip(
            "floor-in-double",
            "The floor is 1e-20 rounded to double and not to float.",
            "a constant whose type in Caffe is float",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-20))),
        ),
        Slip(
            "floor-of-keras",
            "Probabilities are clipped at 1e-7.",
            "the epsilon of another framework's backend",
            Cause.LOG_FLOOR,
            _sum_of(lambda p: np.log(np.maximum(p, 1e-7))),
        ),
        Slip(
            "second-top-halved",
            "Half of the second top's gradient is sent down.",
            "neither what is documented nor what Caffe does",
            Cause.SECOND_TOP,
            instead(_HalfQuirk),
        ),
    ),
)
