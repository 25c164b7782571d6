"""TripletLoss: an anchor is to lie closer to its positive than to its negative (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, may_be_below, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, MessageClass, floating

__all__ = ["LabelledTripletLoss", "TripletLoss", "TripletLossParameter", "WeightedTripletLoss"]

_T1 = "happynear/caffe-windows@967eedf2 src/caffe/layers/triplet_loss_layer.cpp"
_T2 = "xuzhenqi/caffe@7adc4337 src/caffe/layers/triplet_loss_layer.cpp"
_T3 = "liuxianming/DistillingCaffe@2dec7f33 src/caffe/layers/triplet_loss_layer.cpp"
_T7 = "MyCaffe/MyCaffe MyCaffe.layers.beta/layers.beta/TripletLossLayer.cs:205-229"


class TripletLossParameter(Message):
    margin: float = floating(1)


class AlphaTripletLossParameter(Message):
    alpha: float = floating(1)


class TripletLoss(LossLayer):
    """``L = sum_i max(0, v_i) / (2 N)`` with v_i = margin + ||a_i - p_i||^2 - ||a_i - n_i||^2, N the first dimension.

    Bottoms a, p and n of shape (N, C), further dimensions 1; any shape in the form T2. Each takes a gradient: where v
    is above the form's ``threshold``, ``dL/da = w (n - p) / N``, ``dL/dp = w (p - a) / N`` and ``dL/dn = w (a - n) /
    N``, else 0; w is the top's diff. The differences are kept from forward to backward. Kinks: v = 0. ``loss_param``
    has no effect.
    """

    type = "TripletLoss"
    exact_bottoms: ClassVar[int | None] = 3
    messages: ClassVar[Mapping[str, MessageClass]] = {"triplet_loss_param": TripletLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (
        Form("T1", _T1, {"threshold": 1e-9, "flat": True, "slope of NaN": 1.0}),
        Form("T2", _T2, {"threshold": 0.0, "flat": False, "slope of NaN": 0.0}),
    )
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "triplet-buffers-sized-once",
            "TripletLoss sizes its buffers at set-up: a larger batch overruns them (undefined behaviour; refused here)",
            "a layer follows its bottoms' shapes",
            f"{_T1} LayerSetUp; include/caffe/layer.hpp Reshape",
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            "T1-triplet-activity-threshold",
            "a triplet's value lies between 0 and 1e-9",
            "the loss counts it and its gradient is 0",
            f"{_T1} Forward_cpu (mdist < 1e-9)",
        ),
        Departure(
            "triplet-nan-slope",
            "a triplet's value is NaN",
            "the triplet counts as active (form T2: as inactive) in the gradient; the derivative is NaN",
            f"{_T1} Forward_cpu; {_T2} Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.margin = self._margin()
        self.differences = [self.context.blob() for _ in "apn"]
        self.room = (bottom[0].shape[0], bottom[0].count)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        a = bottom[0]
        for name, blob in zip("apn", bottom, strict=False):
            if self.form.switches["flat"] and (blob.height, blob.width) != (1, 1):
                raise LayerError(f"bottom {name} has the shape {blob.shape}", "give it the shape (N, C)")
            if (blob.shape[:1], blob.count) != (a.shape[:1], a.count):
                raise LayerError(
                    f"the triplets {', '.join(str(blob.shape) for blob in bottom[:3])} differ in length or number",
                    "anchor, positive and negative need the same shape",
                )
        for blob in self.differences:
            blob.reshape(a.shape[0], a.count_between(1))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        self._refuse_larger_batch(bottom)
        a, p, n = self._rows(bottom)
        for blob, difference in zip(self.differences, (a - p, a - n, p - n), strict=True):
            blob.data[...] = difference
        losses = np.maximum(self._values(a - p, a - n), 0.0)
        top[0].data[...] = exact_sum(self._scaled(losses, bottom)) / (2 * bottom[0].shape[0])

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        closer, further, apart = (blob.wide for blob in self.differences)
        values = self._values(closer, further)
        slope = self._slope(values)
        nothing = np.expand_dims((value_of(slope) == 0) & ~_blurred(slope), 1)
        scale = np.expand_dims(self._scaled(slope * (top[0].wide_diff / bottom[0].shape[0]), bottom), 1)
        for blob, wanted, direction in zip(bottom, propagate_down, (-apart, -closer, further), strict=False):
            if wanted:
                gradient = np.where(nothing, 0.0, weighted(direction, scale))
                blob.diff[...] = gradient.reshape(blob.shape)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index < 3

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """How far an entry can move before its triplet's v is 0; v is linear in the anchor's entries."""
        a, p, n = (value_of(rows) for rows in self._rows(bottom))
        v = np.expand_dims(self._values(a - p, a - n), 1)
        distances = (
            np.where(p == n, np.inf, np.absolute(v) / np.maximum(2 * np.absolute(n - p), np.finfo(float).tiny)),
            _nearest_root(p - a, v),
            _nearest_root(n - a, -v),
        )
        near: list[NDArray[np.float64] | None] = [None for _ in bottom]
        for i, distance in enumerate(distances):
            near[i] = distance.reshape(bottom[i].shape)
        return near

    def _margin(self) -> float:
        margin: float = self.own["triplet_loss_param"].margin
        return margin

    def _rows(self, bottom: Sequence[Blob]) -> list[Any]:
        return [blob.wide.reshape(self.differences[0].shape) for blob in bottom[:3]]

    def _values(self, closer: Any, further: Any) -> Any:
        """v of each triplet, from a - p and a - n."""
        return self.margin + exact_sum(closer * closer, 1) - exact_sum(further * further, 1)

    def _slope(self, values: Any) -> Any:
        """1 for an active triplet, else 0."""
        threshold = self.form.switches["threshold"]
        counted = (value_of(values) > 0) & may_be_below(values, threshold)
        if counted.any() and self.dialect.derivative("T1-triplet-activity-threshold"):
            threshold = 0.0
        slope, missing = step(values - threshold), np.isnan(values)
        if missing.any() and not self.dialect.derivative("triplet-nan-slope"):
            return np.where(missing, self.form.switches["slope of NaN"], slope)
        return slope

    def _scaled(self, each: Any, bottom: Sequence[Blob]) -> Any:
        """One number for each triplet, times what the triplet weighs."""
        return each

    def _refuse_larger_batch(self, bottom: Sequence[Blob]) -> None:
        triplets, entries = self.room
        larger = bottom[0].shape[0] > triplets or bottom[0].count > entries
        if larger and self.form.switches["flat"] and self.dialect.takes("triplet-buffers-sized-once"):
            raise LayerError(
                f"a batch of shape {bottom[0].shape} overruns the buffers, made for {triplets} triplet(s), {entries} "
                "entries",
                "declare the largest batch in the net",
            )


class WeightedTripletLoss(TripletLoss):
    """TripletLoss with a fourth bottom s, one number for each triplet: ``L = sum_i s_i max(0, v_i) / (2 N)``.

    Every gradient carries s; s takes none.
    """

    exact_bottoms = None
    min_bottoms = 3
    max_bottoms = 4
    forms: ClassVar[tuple[Form, ...]] = (Form("T3", _T3, {"threshold": 0.0, "flat": True, "slope of NaN": 1.0}),)
    quirks: ClassVar[tuple[Quirk, ...]] = ()
    departures: ClassVar[tuple[Departure, ...]] = ()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if len(bottom) == 4 and bottom[3].shape != (bottom[0].shape[0], *[1] * (bottom[3].num_axes - 1)):
            raise LayerError(f"the weights have the shape {bottom[3].shape}", "one per triplet: (N,) or (N, 1, 1, 1)")

    def _scaled(self, each: Any, bottom: Sequence[Blob]) -> Any:
        return each * bottom[3].wide.reshape(-1) if len(bottom) == 4 else each


class LabelledTripletLoss(TripletLoss):
    """TripletLoss of any shape, with labels for a fourth bottom, which are not read; ``alpha`` is its margin."""

    exact_bottoms = 4
    messages: ClassVar[Mapping[str, MessageClass]] = {"triplet_loss_param": AlphaTripletLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("T7", _T7, {"threshold": 0.0, "flat": False, "slope of NaN": 0.0}),)
    quirks: ClassVar[tuple[Quirk, ...]] = ()
    departures: ClassVar[tuple[Departure, ...]] = ()

    def _margin(self) -> float:
        margin: float = self.own["triplet_loss_param"].alpha
        return margin


def _blurred(x: Any) -> NDArray[np.bool_]:
    """Where a value carries an error."""
    return np.asarray(getattr(x, "error", np.zeros(x.shape)) > 0)


def _nearest_root(d: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest size of an h with h^2 + 2 d h + v = 0; inf where there is none."""
    with np.errstate(invalid="ignore"):
        root = np.sqrt(d * d - v)
    nearest = np.minimum(np.absolute(root - d), np.absolute(root + d))
    return np.where(np.isnan(root), np.inf, nearest)
