"""SoftmaxWithLoss with a third bottom, a weight for every label (not in BVLC Caffe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, floored_log, rounded, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import pick_label
from refimpl.layers.softmax_with_loss import FLOOR, SoftmaxWithLoss
from refimpl.messages import SoftmaxParameter
from refimpl.quirk import Departure
from refimpl.schema import MessageClass, floating, int32, repeated, string

__all__ = ["PositionWeightedSoftmaxWithLoss"]

_HAPPYNEAR = "happynear/caffe-windows@967eedf2 src/caffe/layers/softmax_loss_layer.cpp"

OFFSET = 1e-6
"""What is added to the squared length before its root is taken."""


class WeightingSoftmaxParameter(SoftmaxParameter):
    class_weight: tuple[float, ...] = repeated(floating())
    hard_ratio: float = floating(1)
    hard_mining_label: int = int32(-1)
    cutting_point: float = floating()
    label_smooth_factor: float = floating()
    normalize_type: str = string("Softmax")


class PositionWeightedSoftmaxWithLoss(SoftmaxWithLoss):
    """``L = -sum m c_label log(max(p_label, FLT_MIN)) / Z`` over the counted positions, p the softmax.

    m is the third bottom, one number for each label, c is ``softmax_param.class_weight``, one for each class or 1;
    both are 1 without a third bottom. ``dL/dx_i = w m c_label (p_i - [i = label]) / Z``. VALID: Z is the sum of m c,
    and in the gradient that of m alone (a departure), at least 1. The third bottom takes no gradient.

    With ``softmax_param.normalize_type`` L1 or L2, p is x over its Euclidean length instead of the softmax, and the
    gradient stays ``p - [i = label]`` (a departure). ``hard_ratio`` (0 to 1), ``hard_mining_label``,
    ``cutting_point`` and ``label_smooth_factor`` have no effect.
    """

    exact_bottoms = None
    min_bottoms = 2
    max_bottoms = 3
    messages: ClassVar[Mapping[str, MessageClass]] = {"softmax_param": WeightingSoftmaxParameter}
    forms = (Form("happynear", _HAPPYNEAR),)
    departures = (
        Departure(
            "happynear-softmax-two-normalisers",
            "class weights, a third bottom and normalization VALID",
            "the loss is divided by the sum of both weights' products, the gradient by that of the third bottom",
            f"{_HAPPYNEAR} Forward_cpu, Backward_cpu",
        ),
        Departure(
            "happynear-softmax-normalize-type",
            "normalize_type L1 or L2",
            "the loss is that of the normalised scores, the gradient that of a softmax with their value",
            f"{_HAPPYNEAR}:37",
        ),
    )

    def softmax_axis(self) -> int:
        axis: int = self.own["softmax_param"].axis
        return axis

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        param = self.own["softmax_param"]
        classes = bottom[0].shape[bottom[0].canonical_axis(self.softmax_axis())]
        if param.normalize_type not in ("Softmax", "L1", "L2"):
            raise LayerError(f"normalize_type {param.normalize_type!r} is none", "use Softmax, L1 or L2")
        if not 0 <= param.hard_ratio <= 1:
            raise LayerError(f"hard_ratio {param.hard_ratio} is no ratio", "it lies between 0 and 1")
        if param.class_weight and len(param.class_weight) != classes:
            raise LayerError(
                f"{len(param.class_weight)} class_weight for {classes} classes", "give one for each class, or none"
            )
        self.class_weights = np.array(param.class_weight or [1.0] * classes)
        self.normalised = param.normalize_type != "Softmax"
        self.in_backward = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if len(bottom) == 3 and bottom[2].count != bottom[1].count:
            raise LayerError(
                f"{bottom[2].count} weight(s) of shape {bottom[2].shape} for {bottom[1].count} label(s)",
                "one for each label",
            )

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.in_backward = False
        self._remember(bottom)
        super().forward(bottom, top)
        if not self.normalised:
            return
        labels, counted = self.read_labels(bottom)
        p = self._unit(bottom[0].wide)
        for blob in (self.probability, *top[1:]):
            blob.data[...] = p
        of_label = np.squeeze(np.take_along_axis(p, self.along_classes(labels), self.axis), self.axis)
        losses = np.where(counted, self.weighed(-floored_log(of_label, FLOOR), labels, bottom), 0.0)
        top[0].data[...] = exact_sum(losses) / self.divisor(counted)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.in_backward = True
        self._remember(bottom)
        super().backward(top, propagate_down, bottom)
        if self.normalised and propagate_down[0] and self.dialect.derivative("happynear-softmax-normalize-type"):
            bottom[0].diff[...] = self._through_length(bottom, top)

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        if len(bottom) == 2:
            return each
        given = bottom[2].wide.reshape(self.positions)
        return weighted(each, given * self.class_weights[labels])

    def divisor(self, counted: NDArray[np.bool_]) -> Any:
        if self.weights is None or self.normalisation.mode != "VALID":
            return super().divisor(counted)
        given, products = self.weights
        counts = products
        if self.in_backward and (value_of(given) != value_of(products)).any():
            counts = products if self.dialect.derivative("happynear-softmax-two-normalisers") else given
        return np.maximum(exact_sum(np.where(counted, counts, 0.0)), 1.0)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        self._remember(bottom)
        return [*super().kinks(bottom), *[None for _ in bottom[2:]]]

    def _remember(self, bottom: Sequence[Blob]) -> None:
        """The weights of the third bottom, and their products with those of the labels' classes."""
        self.weights: tuple[Any, Any] | None = None
        if len(bottom) == 3:
            given = bottom[2].wide.reshape(self.positions)
            self.weights = (given, given * self.class_weights[self.read_labels(bottom)[0]])

    def _unit(self, x: Any) -> Any:
        return x / np.sqrt(self._squared_length(x))

    def _squared_length(self, x: Any) -> Any:
        squares = exact_sum(x * x, self.axis)
        return self.along_classes(squares + rounded(OFFSET, squares))

    def _through_length(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> Any:
        """The derivative of -log p_label, p = x / |x|: ``x_i / |x|^2 - [i = label] / x_i``."""
        labels, counted = self.read_labels(bottom)
        x = bottom[0].wide
        scale = self.weighed(top[0].wide_diff / self.divisor(counted), labels, bottom)
        scale = np.where(counted, scale, 0.0)
        label = pick_label(labels, x.shape[self.axis], self.axis)
        return (x / self._squared_length(x) - np.where(label > 0, 1.0 / x, 0.0)) * self.along_classes(scale)
