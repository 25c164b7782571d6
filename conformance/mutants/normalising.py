"""Slips around ``loss_param`` that the layers with a normalisation invite: what is divided by, and what is ignored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.slips import Alter, At, Blobs, Slip, control, counting, dividing, gradient
from conformance.record.cause import Cause
from refimpl.layer import Layer
from refimpl.layers.normalisation import Normalisation

__all__ = ["CONTROL", "IGNORING", "NORMALIZE", "normalising", "with_default"]

Flags = NDArray[np.bool_]


_NARROW = defaultdict(lambda: np.inf, FULL=2.0**16)
"""How far each mode's count goes, and begins again at 0."""


def _of_mode(mode: str, batch: int, counted: Flags) -> float:
    return Normalisation(mode).divisor(batch, counted)


def _swapped(asked: str, taken: str) -> Alter:
    """One mode's divisor where another is asked for."""
    return dividing(lambda own, batch, counted: _of_mode(taken if own.mode == asked else own.mode, batch, counted))


def with_default(mode: str) -> Alter:
    """Another mode where loss_param names none."""
    return _with_mode(lambda param, own: own if param.has("normalization") or param.has("normalize") else mode)


def _with_mode(choose: Any) -> Alter:
    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            normalisation: Normalisation

            def setup(self, bottom: Blobs, top: Blobs) -> None:
                super().setup(bottom, top)
                own = self.normalisation
                given = self.own.get("loss_param", self.param.loss_param)
                self.normalisation = Normalisation(choose(given, own.mode), own.ignored)

        return Wrong

    return alter


def _of_normalize(param: Any, own: str) -> str:
    if not param.has("normalize"):
        return own
    return "VALID" if param.normalize else "BATCH_SIZE"


def _unguarded(own: Normalisation, batch: int, counted: Flags) -> Any:
    sizes: dict[str, float] = {"FULL": counted.size, "VALID": float(counted.sum()), "BATCH_SIZE": batch, "NONE": 1}
    return np.float64(sizes[own.mode])


_NORMALISING = (
    Slip(
        "valid-is-full",
        "VALID divides by all positions, the ignored ones as well.",
        "a valid count that counts everything",
        Cause.VALID_RATIO,
        _swapped("VALID", "FULL"),
    ),
    Slip(
        "full-is-valid",
        "FULL divides by the positions that are not ignored.",
        "classic slip",
        Cause.VALID_RATIO,
        _swapped("FULL", "VALID"),
    ),
    Slip(
        "full-is-batch-size",
        "FULL divides by the batch size: the positions of an item are forgotten.",
        "outer count without inner count",
        Cause.INNER_SIZE,
        _swapped("FULL", "BATCH_SIZE"),
    ),
    Slip(
        "batch-size-is-full",
        "BATCH_SIZE divides by all positions.",
        "classic slip",
        Cause.INNER_SIZE,
        _swapped("BATCH_SIZE", "FULL"),
    ),
    Slip(
        "none-is-batch-size",
        "NONE divides by the batch size.",
        "a framework whose normalization 'null' still divided",
        Cause.BATCH_RATIO,
        _swapped("NONE", "BATCH_SIZE"),
    ),
    Slip(
        "valid-divided-twice",
        "VALID divides by the valid positions and by the positions of an item again.",
        "a framework whose valid count held the spatial size already and was divided by it once more",
        Cause.INNER_SIZE,
        dividing(
            lambda own, batch, counted: (
                own.divisor(batch, counted) * (counted.size / batch if own.mode == "VALID" else 1)
            )
        ),
    ),
    Slip(
        "never-below-one-forgotten",
        "Where nothing counts, VALID divides by 0.",
        "Caffe before its normaliser was held at 1, and segmentation forks since",
        Cause.SPECIAL_VALUES,
        dividing(_unguarded),
    ),
    Slip(
        "one-too-many",
        "VALID divides by one more than counts, so as never to divide by 0.",
        "classic slip",
        Cause.VALID_RATIO,
        dividing(lambda own, batch, counted: own.divisor(batch, counted) + (own.mode == "VALID")),
    ),
    Slip(
        "gradient-over-all",
        "The gradient is divided by all positions, the loss by its normaliser.",
        "backward and forward that normalise on their own",
        Cause.VALID_RATIO,
        gradient(lambda x, at: x * at.normaliser / at.counted.size),
    ),
)


def normalising(default: str) -> tuple[Slip, ...]:
    """What a layer with a normalisation, ``default`` where none is given, can be divided by instead."""
    return (
        *_NORMALISING,
        Slip(
            "full-count-in-16-bits",
            "What FULL divides by is counted in 16 bits.",
            "a field of a packed structure of parameters",
            Cause.AT_SCALE,
            dividing(lambda own, batch, counted: max(1.0, _of_mode(own.mode, batch, counted) % _NARROW[own.mode])),
            at_scale=True,
        ),
        Slip(
            "normalization-not-read",
            "normalization is not read: the default holds.",
            "a layer written for a proto without the field",
            Cause.NORMALISATION_MODE,
            _with_mode(lambda param, own: default if param.has("normalization") else own),
        ),
    )


NORMALIZE = (
    Slip(
        "normalize-wins",
        "The deprecated normalize wins over normalization.",
        "the order of precedence of the two fields",
        Cause.NORMALISATION_MODE,
        _with_mode(_of_normalize),
    ),
    Slip(
        "normalize-inverted",
        "normalize: true divides by the batch size, false by what counts.",
        "a proto that lost the default of the field, so that copies of the layer flipped silently",
        Cause.NORMALISATION_MODE,
        _with_mode(
            lambda param, own: (
                own
                if param.has("normalization") or not param.has("normalize")
                else ("BATCH_SIZE" if param.normalize else "VALID")
            )
        ),
    ),
)


def _skipping(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            held = bottom[0].diff.copy()
            super().backward(top, propagate_down, bottom)
            counted = At(self, bottom, top).counted
            counted = self.along_classes(counted) if hasattr(self, "along_classes") else counted.reshape(held.shape)
            if propagate_down[0]:
                bottom[0].diff[...] = np.where(counted, bottom[0].diff, held)

    return Wrong


def _after_last_ignored(own: Normalisation, labels: NDArray[np.int64]) -> Flags:
    """What is left of a sum in row-major order where every ignored position sets it to 0."""
    ignored = np.flatnonzero(~own.counted(labels))
    counted = np.arange(labels.size) > (ignored[-1] if ignored.size else -1)
    return counted.reshape(labels.shape)


def _every(own: Normalisation, labels: NDArray[np.int64]) -> Flags:
    return np.ones(labels.shape, bool)


CONTROL = control(counting(lambda own, labels: own.counted(labels)), "control-counting")

IGNORING = (
    Slip(
        "ignored-counted",
        "Ignored positions get loss and gradient like the others.",
        "an operator that declares an ignored label and does not honour it",
        Cause.IGNORED_LABEL,
        counting(_every),
    ),
    Slip(
        "ignored-costs",
        "Ignored positions add to the loss, and get no gradient.",
        "what a gradient check alone does not see, as reviewers of ignore_label remarked",
        Cause.IGNORED_LABEL,
        counting(_every, backward=False),
    ),
    Slip(
        "ignored-pushed",
        "Ignored positions get a gradient, and cost nothing.",
        "an operator that honours its ignored label in forward alone",
        Cause.IGNORED_LABEL,
        counting(_every, forward=False),
    ),
    Slip(
        "ignored-left",
        "Backward skips ignored positions: the diff keeps what it held.",
        "a layer for hard examples whose skipped slots keep the gradient of the backward pass before",
        Cause.STALE_BUFFER,
        _skipping,
    ),
    Slip(
        "negative-not-ignored",
        "ignore_label is honoured only where it is 0 or more.",
        "an unset field told from a set one by its sign",
        Cause.IGNORED_LABEL,
        counting(
            lambda own, labels: own.counted(labels) if own.ignored is None or own.ignored >= 0 else _every(own, labels)
        ),
    ),
    Slip(
        "class-0-not-ignored",
        "ignore_label: 0 is taken for no ignore_label.",
        "an unset field told from a set one by its truth",
        Cause.IGNORED_LABEL,
        counting(lambda own, labels: own.counted(labels) if own.ignored else _every(own, labels)),
    ),
    Slip(
        "last-ignored-wipes",
        "An ignored position sets the running sum of the loss to 0 instead of adding 0.",
        "a focal loss with = where += belongs",
        Cause.IGNORED_LABEL,
        counting(_after_last_ignored, backward=False),
    ),
)
