"""HingeLoss: one-against-all margins (``src/caffe/layers/hinge_loss_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, sign, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import LossLayer, pick_label, refuse_labels_outside
from refimpl.quirk import Departure, Quirk

__all__ = ["HingeLoss"]

QUIRK = "hinge-scratch"


class HingeLoss(LossLayer):
    """``L = sum_ij max(0, 1 - s_ij x_ij)^p / N`` with s_ij = 1 at i's label, -1 elsewhere; p = 1 (norm L1) or 2 (L2).

    Bottom 0: N samples of any shape, flattened to classes; at most 4 axes. Bottom 1: any shape with first dimension
    N; its first N entries are the labels. ``dL/dx_ij = -w s_ij p m_ij^(p-1) / N`` where the margin m_ij = 1 - s_ij
    x_ij is positive, else 0; w is the top's diff. ``loss_param`` has no effect. Kinks (L1): s x = 1, where the
    gradient is 0.

    BVLC Caffe's forward leaves max(0, m) in the bottom's diff and its backward reads it there. That shows where a
    backward does not follow its forward directly, or not at all.
    """

    type = "HingeLoss"
    quirks = (
        Quirk(
            "hinge-scratch",
            "HingeLoss leaves its margins in the bottom's diff during forward and reads them from there in backward: "
            "a second backward is wrong, and without a backward they leak into the gradients of a blob shared with "
            "other layers",
            "forward leaves diffs alone and backward depends on data and top diff only",
            "src/caffe/layers/hinge_loss_layer.cpp; include/caffe/layer.hpp Backward",
            number=13,
        ),
        Quirk(
            "hinge-swallows-nan",
            "a NaN score counts as a margin of 0 in HingeLoss",
            "NaN in, NaN out",
            "src/caffe/layers/hinge_loss_layer.cpp Forward_cpu (std::max); IEEE 754 section 6.2",
            number=14,
        ),
    )
    departures = (
        Departure(
            "hinge-nan-slope",
            "a score is NaN, with norm L1",
            "the slope of a margin that is NaN is 0, as that of one that is not positive; the derivative is NaN",
            "src/caffe/layers/hinge_loss_layer.cpp Backward_cpu (caffe_cpu_sign)",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.squared = self.param.hinge_loss_param.norm == "L2"
        self.seen: list[NDArray[Any]] | None = None

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        margins = np.maximum(self._margins(bottom), 0.0)
        top[0].data[...] = exact_sum(margins * margins if self.squared else margins) / bottom[0].num
        if self.dialect.leans(QUIRK):
            bottom[0].diff[...] = margins.reshape(bottom[0].shape)
        self.seen = _state(bottom)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        margins = self._margins(bottom)
        if self._scratch_is_stale(bottom) and self.dialect.takes(QUIRK):
            left = bottom[0].wide_diff.reshape(margins.shape)
            slope = 2 * left if self.squared else sign(left)
        elif self.squared:
            slope = 2 * np.maximum(margins, 0.0)
        else:
            slope = np.where(self._derived_nan(margins), np.nan, step(margins))
        gradient = weighted(np.where(_label(bottom), -slope, slope), top[0].wide_diff / bottom[0].num)
        bottom[0].diff[...] = gradient.reshape(bottom[0].shape)
        self.seen = None

    @property
    def unsettled(self) -> frozenset[str]:
        return frozenset() if self.seen is None else frozenset({QUIRK})

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        if self.squared:
            return [None, None]
        return [np.absolute(value_of(self._margins(bottom))).reshape(bottom[0].shape), None]

    def _margins(self, bottom: Sequence[Blob]) -> Any:
        """1 - s x, as (N, classes)."""
        x = bottom[0].wide.reshape(bottom[0].num, -1)
        margins = 1.0 + np.where(_label(bottom), -x, x)
        missing = np.isnan(margins)
        if missing.any() and self.dialect.takes("hinge-swallows-nan"):
            return np.where(missing, 0.0, margins)
        return margins

    def _derived_nan(self, margins: Any) -> NDArray[np.bool_]:
        """Where a margin is NaN, and its slope is the derivative: NaN, too."""
        missing = np.isnan(margins)
        return missing if missing.any() and self.dialect.derivative("hinge-nan-slope") else np.zeros_like(missing)

    def _scratch_is_stale(self, bottom: Sequence[Blob]) -> bool:
        """Whether the bottom's diff is not what a forward with these scores and labels leaves there."""
        return self.seen is None or not all(
            np.array_equal(before, now, equal_nan=True) for before, now in zip(self.seen, _state(bottom), strict=True)
        )


def _label(bottom: Sequence[Blob]) -> NDArray[np.bool_]:
    """Where each sample's label is, (N, classes). Raises `LayerError` for a label that is no class, or too few."""
    samples = bottom[0].num
    classes = bottom[0].count // samples
    labels = bottom[1].integers().ravel()[:samples]
    if labels.size < samples:
        raise LayerError(f"{labels.size} label(s) for {samples} samples", "give one per sample")
    refuse_labels_outside(labels, classes)
    return pick_label(labels, classes, 1) > 0


def _state(bottom: Sequence[Blob]) -> list[NDArray[Any]]:
    """What backward depends on in one dialect or the other: scores, labels, and the bottom's diff."""
    return [value_of(bottom[0].data).copy(), bottom[1].integers(), value_of(bottom[0].diff).copy()]
