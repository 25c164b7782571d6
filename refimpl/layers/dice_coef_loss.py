"""DiceCoefLoss: one minus the overlap of predicted and labelled regions (no layer of BVLC Caffe's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, like, magnitude, rounded, sign, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer, pick_label, refuse_labels_outside
from refimpl.quirk import Departure
from refimpl.schema import Message, MessageClass, enum, int32

__all__ = ["DiceCoefLoss"]

_JOLIBRAIN = "jolibrain/caffe@23928c02 src/caffe/layers/dice_coef_loss_layer.cpp"
_POWERS = {"INVERSE_VOLUME": -2.0, "EXTRA_SMALL_VOLUMES": -3.0, "EQUALIZE_CLASSES": -1.0}
IGNORED = 1e6
"""By how much more than an image an ignored class seems to hold, where classes are weighted by their volume."""


class DiceCoefLossParameter(Message):
    generalization: str = enum(
        "NONE",
        NONE=0,
        MULTICLASS=1,
        MULTICLASS_WEIGHTED=2,
        MULTICLASS_WEIGHTED_BATCH=3,
        MULTICLASS_WEIGHTED_ALL=4,
    )
    ignore_label: int = int32()
    weight_mode: str = enum("INVERSE_VOLUME", EXTRA_SMALL_VOLUMES=0, INVERSE_VOLUME=1, EQUALIZE_CLASSES=2)


class DiceCoefLoss(LossLayer):
    """``L = 1 - sum_i |r_i| / N`` with ``r_i = (e + 2 sum m x t) / (e + sum m x^2 + sum m t)`` over image i.

    Bottoms: x of shape (N, C, ...), at most 4 axes, and labels of as many positions, with one channel, rounded to the
    nearest integer; t is 1 at a position's class, 0 elsewhere; images without labels hold none. ``dL/dx = 2 w m (r x
    - t) / (e + sum m x^2 + sum m t)``, w the top's diff: without the 1/N and the mask of MULTICLASS (departures).

    ``dice_coef_loss_param.generalization`` NONE: m = 1, e = 1/N. MULTICLASS: m = 0 at the ignore_label's channel.
    MULTICLASS_WEIGHTED: e = 0 and m = (1 + n)^p, n the positions of the class in the image (10^6 images for the
    ignore_label), p -2, -1 or -3 by weight_mode; _BATCH: 1 + n as its mean over the images; _ALL: as its mean over
    all batches so far. Kinks: r = 0.
    """

    type = "DiceCoefLoss"
    messages: ClassVar[Mapping[str, MessageClass]] = {"dice_coef_loss_param": DiceCoefLossParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("jolibrain", _JOLIBRAIN),)
    departures = (
        Departure(
            "jolibrain-dice-batch-missing",
            "the batch holds more than one image",
            "the gradient lacks the 1/N of the loss",
            f"{_JOLIBRAIN} Backward_cpu",
        ),
        Departure(
            "jolibrain-dice-ignored-slope",
            "MULTICLASS with an ignore_label",
            "the gradient of the ignored channel is not masked",
            f"{_JOLIBRAIN} Backward_cpu",
        ),
        Departure(
            "jolibrain-dice-negative-overlap",
            "an image's r is negative",
            "the loss takes its absolute value, the gradient does not change its sign",
            f"{_JOLIBRAIN} Forward_cpu (caffe_cpu_asum)",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        param = self.own["dice_coef_loss_param"]
        self.mode: str = param.generalization
        self.ignored: int | None = param.ignore_label if param.has("ignore_label") and self.mode != "NONE" else None
        self.power = _POWERS[param.weight_mode]
        self.batches = 0
        self.volumes: Any = None
        self.factors: Any = None

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        x, y = bottom
        for blob in bottom:
            blob.refuse_more_than_four_axes()
        if x.count_between(2) != y.count_between(2) or y.channels != 1 or y.num > x.num:
            raise LayerError(
                f"labels of shape {y.shape} for predictions of shape {x.shape}",
                "(N, C, H, W) needs labels (N, 1, H, W)",
            )
        if self.ignored is not None and not 0 <= self.ignored < x.channels and self._masks(x.channels):
            raise LayerError(f"ignore_label {self.ignored} of {x.channels} classes", "ignore one that there is")
        top[0].reshape()

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        x, t = self._planes(bottom)
        self.factors = self._factors(x, t, count=True)
        overlap, _ = self._overlap(x, t, self.factors)
        top[0].data[...] = 1.0 - exact_sum(magnitude(overlap)) / bottom[0].num

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        x, t = self._planes(bottom)
        overlap, below = self._overlap(x, t, self.factors)
        factors = self.factors
        masked = self.mode == "MULTICLASS" and self.ignored is not None and self._masks(x.shape[1])
        if masked and not self.dialect.derivative("jolibrain-dice-ignored-slope"):
            factors = like(x, 1.0)
        scale = 2.0 * top[0].wide_diff / below
        if bottom[0].num > 1 and self.dialect.derivative("jolibrain-dice-batch-missing"):
            scale = scale / bottom[0].num
        if (value_of(overlap) < 0).any() and self.dialect.derivative("jolibrain-dice-negative-overlap"):
            scale = scale * sign(overlap)
        overlap, scale = (each.reshape(-1, 1, 1) for each in (overlap, scale))
        bottom[0].diff[...] = (weighted(overlap * x - t, scale) * factors).reshape(bottom[0].shape)

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """Where an image's overlap, which is linear in what is above it, is 0."""
        x, t = (value_of(each) for each in self._planes(bottom))
        factors = value_of(self._factors(x, t) if self.factors is None else self.factors)
        overlap, below = self._overlap(x, t, factors)
        above = np.absolute(overlap * below).reshape(-1, 1, 1)
        return [
            np.where(factors * t > 0, above / np.maximum(2 * factors * t, 1e-300), np.inf).reshape(bottom[0].shape),
            None,
        ]

    def _planes(self, bottom: Sequence[Blob]) -> tuple[Any, NDArray[np.float64]]:
        """x as (N, C, positions), and where the labels are, as 1."""
        x = bottom[0].wide.reshape(bottom[0].num, bottom[0].channels, -1)
        value = value_of(bottom[1].wide)
        labels = np.trunc(value + np.copysign(0.5, value)).astype(np.int64).reshape(bottom[1].num, -1)
        refuse_labels_outside(labels, x.shape[1])
        t = np.zeros(x.shape)
        t[: len(labels)] = pick_label(labels, x.shape[1], 1)
        return x, t

    def _masks(self, classes: int) -> bool:
        """Whether an ignored class makes a difference: a single one is not masked, but weighted as if it were large."""
        return classes > 1 or self.mode.startswith("MULTICLASS_WEIGHTED")

    def _smooth(self, images: int) -> float:
        return 0.0 if self.mode.startswith("MULTICLASS_WEIGHTED") else 1.0 / images

    def _overlap(self, x: Any, t: NDArray[np.float64], factors: Any) -> tuple[Any, Any]:
        """r of each image, and what it is divided by."""
        smooth = rounded(self._smooth(len(t)), x)
        below = exact_sum(factors * x * x, (1, 2)) + smooth + exact_sum(factors * t, (1, 2))
        return (smooth + 2.0 * exact_sum(factors * x * t, (1, 2))) / below, below

    def _factors(self, x: Any, t: NDArray[np.float64], count: bool = False) -> Any:
        """m, for every entry; ``count`` where the batch is one more for MULTICLASS_WEIGHTED_ALL."""
        if not self.mode.startswith("MULTICLASS_WEIGHTED"):
            kept = np.ones(x.shape)
            if self.ignored is not None and self._masks(x.shape[1]):
                kept[:, self.ignored] = 0.0
            return like(x, kept)
        volumes = t.sum(2) + 1.0
        if self.ignored is not None:
            volumes[:, self.ignored] += IGNORED * t.shape[2] - 1.0
        held = like(x[:, :, 0], volumes)
        if self.mode != "MULTICLASS_WEIGHTED":
            held = self._averaged(held, count)
        factors: Any = np.power(held, self.power)
        return np.expand_dims(factors, 2) * like(x, 1.0)

    def _averaged(self, held: Any, count: bool) -> Any:
        """The volumes' mean over the images, and over the batches."""
        mean = exact_sum(held, 0) / len(held)
        if self.mode == "MULTICLASS_WEIGHTED_ALL":
            if self.batches:
                mean = (self.batches * self.volumes + mean) / (self.batches + 1)
            if count:
                self.volumes, self.batches = mean, self.batches + 1
        return np.expand_dims(mean, 0) * like(held, 1.0)
