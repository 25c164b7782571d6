"""TripletLoss that finds its triplets in one batch of features (no layer of BVLC Caffe's; read, not measured)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer, refuse_labels_outside
from refimpl.layers.triplet_loss import TripletLossParameter
from refimpl.quirk import Departure
from refimpl.schema import MessageClass, int32

__all__ = ["AllTripletsLoss", "GroupedTripletLoss", "IndexedTripletLoss"]

_T4 = "MSRCCS/Caffe@2eb05997 src/caffe/layers/triplet_loss_layer.cpp:69,99,123"
_T5 = "PKU-ICST-MIPL/QaDWH_TMM2018@248bbc41 src/caffe/layers/triplet_loss_layer.cpp"
_T6 = "yuqj1991/caffe_train@c7247801 src/caffe/layers/triplet_loss_layer.cpp:63,77,89,95,101"

Rows = NDArray[np.int64]


class GroupedTripletLossParameter(TripletLossParameter):
    num_triplets: int = int32(3)


class AllTripletsLoss(LossLayer):
    """``L = sum max(0, v) / T`` over all T triplets, v = margin + ||a - p||^2 - ||a - n||^2.

    Bottoms: features of shape (N, ...) and truncated labels, N at least. The samples at the front that share the
    first label are the positives, a and p any two of them in their order; n is any of the others. Where v is above 0,
    ``2 w (n - p) / T`` goes to a, ``2 w (p - a) / T`` to p and ``2 w (a - n) / T`` to n, w the top's diff. Without
    triplets the loss is 0/0. Equal labels throughout are read beyond their end, and refused here. Kinks: v = 0.
    """

    type = "TripletLoss"
    messages: ClassVar[Mapping[str, MessageClass]] = {"triplet_loss_param": TripletLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("T4", _T4),)
    halves = 1.0
    """What the loss is divided by besides the number of triplets."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        rows = self._triplets(bottom)
        with np.errstate(invalid="ignore"):
            top[0].data[...] = exact_sum(np.maximum(self._values(bottom, rows), 0.0)) / (self.halves * len(rows))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if len(bottom) > 1:
            self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            rows = self._triplets(bottom)
            scale = 2.0 * top[0].wide_diff / (self.halves * len(rows))
            bottom[0].diff[...] = weighted(self._pulls(bottom, rows), scale).reshape(bottom[0].shape)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """A bound on how far an entry has to move at least before a triplet's v is 0."""
        rows, x = self._triplets(bottom), value_of(_features(bottom))
        near = np.full(x.shape, np.inf)
        values = np.absolute(self._values(bottom, rows, x))
        reach = np.absolute(x).max(initial=0.0) * 4 + 1.0
        for row, value in zip(rows, values, strict=True):
            near[row] = np.minimum(near[row], value / reach)
        return [near.reshape(bottom[0].shape), *[None for _ in bottom[1:]]]

    def _triplets(self, bottom: Sequence[Blob]) -> Rows:
        """The rows of anchor, positive and negative, as (T, 3)."""
        labels = bottom[1].integers().ravel()
        others = np.flatnonzero(labels != labels[0])
        if not others.size:
            raise LayerError("all labels are equal", "samples of another class have to follow those of the first")
        end = int(others[0])
        return np.array(
            [(a, p, n) for a in range(end) for p in range(a + 1, end) for n in range(end, bottom[0].shape[0])], np.int64
        ).reshape(-1, 3)

    def _margin(self) -> float:
        margin: float = self.own["triplet_loss_param"].margin
        return margin

    def _values(self, bottom: Sequence[Blob], rows: Rows, x: Any = None) -> Any:
        """v of each triplet."""
        x = _features(bottom) if x is None else x
        a, p, n = (x[rows[:, i]] for i in range(3))
        return self._margin() + exact_sum((a - p) * (a - p), 1) - exact_sum((a - n) * (a - n), 1)

    def _pulls(self, bottom: Sequence[Blob], rows: Rows) -> Any:
        """The sum of what each triplet sends to a sample, in units of ``2 w / T``."""
        x, active = _features(bottom), np.expand_dims(step(self._values(bottom, rows)), 1)
        a, p, n = (x[rows[:, i]] for i in range(3))
        sent = np.concatenate([(n - p) * active, (p - a) * active, (a - n) * active, np.zeros((1, x.shape[1]))])
        return exact_sum(sent[_arrivals(rows.T.ravel(), len(x))], 1)


def _arrivals(to: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Which entries of ``to`` name each of ``count`` samples: a row a sample, filled up with ``len(to)``."""
    often = np.bincount(to, minlength=count)
    order = np.argsort(to, kind="stable")
    within = np.arange(len(to)) - np.repeat(np.cumsum(often) - often, often)
    found = np.full((count, max(1, often.max(initial=0))), len(to))
    found[to[order], within] = order
    return found


class GroupedTripletLoss(AllTripletsLoss):
    """``L = sum max(0, v) / (2 T)``, a triplet from the first three samples of every ``num_triplets``.

    Bottom: features of shape (N, C), further dimensions 1, N a multiple of num_triplets; a second and a third bottom
    are not read. Further samples of a group take no part.
    """

    exact_bottoms = None
    min_bottoms = 1
    max_bottoms = 3
    messages: ClassVar[Mapping[str, MessageClass]] = {"triplet_loss_param": GroupedTripletLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("T5", _T5),)
    halves = 2.0

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        size, x = self.own["triplet_loss_param"].num_triplets, bottom[0]
        if (x.height, x.width) != (1, 1) or size < 3 or x.num % size:
            raise LayerError(
                f"features of shape {x.shape} do not fall into groups of {size}", "(N, C), N a multiple of num_triplets"
            )
        top[0].reshape()

    def _triplets(self, bottom: Sequence[Blob]) -> Rows:
        first = np.arange(0, bottom[0].shape[0], self.own["triplet_loss_param"].num_triplets)
        return np.stack([first, first + 1, first + 2], 1)


class IndexedTripletLoss(AllTripletsLoss):
    """``L = sum max(0, v) / T``, the triplets given by a second bottom: (T, 3) rows of anchor, positive and negative.

    The gradient is written triplet by triplet, active or not, a later one over an earlier one: ``2 w (n - p) / T``
    to a, ``2 w (p - a) / T`` to p, and ``2 w (a - p) / T`` to n (a departure). The weight is 0 where none is given.
    """

    implicit_weight = False
    forms: ClassVar[tuple[Form, ...]] = (Form("T6", _T6),)
    departures = (
        Departure(
            "T6-triplet-overwritten",
            "everywhere but where each sample is in one triplet, all of them are active, and p equals n",
            "inactive triplets have a gradient, a later triplet overwrites an earlier one's, the negative's is a - p",
            _T6,
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The weight stays what it is."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if bottom[1].count % 3 or not bottom[1].count:
            raise LayerError(f"indices of shape {bottom[1].shape}", "three for each triplet: (T, 3)")
        top[0].reshape()

    def _triplets(self, bottom: Sequence[Blob]) -> Rows:
        rows = bottom[1].integers().reshape(-1, 3)
        refuse_labels_outside(rows, bottom[0].shape[0])
        return rows

    def _pulls(self, bottom: Sequence[Blob], rows: Rows) -> Any:
        if self.dialect.derivative("T6-triplet-overwritten"):
            return super()._pulls(bottom, rows)
        x = _features(bottom)
        pulls = x * 0.0
        for a, p, n in rows:
            pulls[a], pulls[p], pulls[n] = x[n] - x[p], x[p] - x[a], x[a] - x[p]
        return pulls


def _features(bottom: Sequence[Blob]) -> Any:
    return bottom[0].wide.reshape(bottom[0].shape[0], -1)
