"""What the smooth L1 losses of forks share: a parabola about 0 that goes on as the absolute value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, value_of, weighted
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.layer import LossLayer
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, floating

__all__ = [
    "SigmaParameter",
    "SmoothL1",
    "UnchainedSmoothL1",
    "WeightedSmoothL1",
    "first_of",
    "neither",
    "product",
    "sigma_squared",
]

_CPP = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/smooth_L1_loss_layer.cpp"
OVERWRITES = "smooth-l1-backward-overwrites"
NAN_SLOPE = "smooth-l1-nan-slope"


class SmoothL1(LossLayer):
    """``L = sum w_out f(w_in (x - t)) / Z``, f(v) = s v^2 / 2 where |v| < 1/s and |v| - 1/(2 s) elsewhere.

    Bottoms x and t of one shape but for the number of axes, at most 4, and weights of theirs. Either or both of x and
    t take a gradient: ``dL/dx = w w_out w_in f'(w_in (x - t)) / Z`` with f' the nearest number to s v in [-1, 1], w
    the top's diff, and ``dL/dt = -dL/dx``; ``propagate_down`` for weights is ignored. Only the knees |v| = 1/s have no
    second derivative.

    Subclasses say which bottom holds which weight, what the forks forget of them in the gradient, and Z.
    """

    exact_bottoms = None
    min_bottoms = 2
    quirks = (
        Quirk(
            OVERWRITES,
            "backward leaves f' where it kept the weighted differences, so that a second backward takes f' of f': "
            "another gradient, unless sigma is 1",
            "backward depends on data and top diff only",
            f"{_CPP}:105; include/caffe/layer.hpp Backward",
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            NAN_SLOPE,
            "a weighted difference is NaN",
            "the slope of a difference that is NaN is 0, as no comparison holds; the derivative is NaN",
            f"{_CPP}:111",
        ),
    )

    squared_sigma = 1.0
    """s, as the fork rounds it: to float32."""

    def inside(self, bottom: Sequence[Blob]) -> Any:
        """What the differences are multiplied by, in the shape of x; None: nothing."""
        return None

    def outside(self, bottom: Sequence[Blob]) -> Any:
        """What the errors are multiplied by, in the shape of x; None: nothing."""
        return None

    def factor(self, bottom: Sequence[Blob]) -> Any:
        """What the slope f' is multiplied by, in the shape of x; None: nothing."""
        return product(self.inside(bottom), self.outside(bottom))

    def loss_divisor(self, bottom: Sequence[Blob]) -> Any:
        """Z of the loss."""
        return float(bottom[0].num)

    def gradient_divisor(self, bottom: Sequence[Blob], which: int) -> Any:
        """Z of a bottom's gradient."""
        return float(bottom[which].num)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.difference = self.context.blob()
        self.overwritten = 0

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_batches(bottom)
        top[0].reshape()
        for blob in bottom[1:]:
            sizes = [(b.channels, b.height, b.width) for b in (bottom[0], blob)]
            if sizes[0] != sizes[1]:
                raise LayerError(
                    f"the inputs {bottom[0].shape} and {blob.shape} differ beyond their first axis",
                    "predictions, targets and weights need the same channels, height and width",
                )
        self.difference.reshape_like(bottom[0])

    def refuse_batches(self, bottom: Sequence[Blob]) -> None:
        """Raise `LayerError` where predictions and targets are of two batch sizes."""
        LossLayer.reshape(self, bottom, [self.context.blob()])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        difference = bottom[0].wide - first_of(bottom[1], bottom[0])
        inside = self.inside(bottom)
        self.difference.data[...] = kept = difference if inside is None else inside * difference
        self.overwritten = 0
        errors = self.errors(kept, bottom)
        top[0].data[...] = exact_sum(self.summed(errors)) / self.loss_divisor(bottom)

    def errors(self, kept: Any, bottom: Sequence[Blob]) -> Any:
        """The loss of each entry."""
        outside = self.outside(bottom)
        value = self.value(kept)
        return value if outside is None else outside * value

    def summed(self, errors: Any) -> Any:
        """What of the errors is added up."""
        return errors

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        kept = self.difference.wide
        if self.overwritten and self.squared_sigma != 1 and self.dialect.takes(OVERWRITES):
            for _ in range(self.overwritten):
                kept = self._slope(kept)
        self.overwritten += 1
        factor = self.factor(bottom)
        slope = self._slope(kept)
        slope = slope if factor is None else slope * factor
        for i, direction in zip(range(2), (slope, -slope), strict=True):
            if propagate_down[i]:
                scale = top[0].wide_diff / self.gradient_divisor(bottom, i)
                flat = bottom[i].diff.reshape(-1)
                flat[: slope.size] = weighted(direction, scale).reshape(-1)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """The knees: beyond one the loss is straight, before it a parabola."""
        difference = np.absolute(value_of(bottom[0].wide) - value_of(first_of(bottom[1], bottom[0])))
        inside = self.inside(bottom)
        scale = np.ones_like(difference) if inside is None else np.absolute(value_of(inside))
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(scale == 0, np.inf, np.absolute(difference - self.knee / scale))
        return [distance, distance.reshape(bottom[1].shape), *(None for _ in bottom[2:])]

    @property
    def knee(self) -> float:
        """Where the parabola ends."""
        return 1.0 / self.squared_sigma

    def value(self, v: Any) -> Any:
        """f(v)."""
        size = magnitude(v)
        s = self.squared_sigma
        return np.where(size < self.knee, 0.5 * v * v * s, size - 0.5 / s)

    def slope(self, v: Any) -> Any:
        """f'(v), NaN for NaN."""
        return np.maximum(np.minimum(self.squared_sigma * v, 1.0), -1.0)

    def _slope(self, v: Any) -> Any:
        missing = np.isnan(v)
        slope = self.slope(v)
        if missing.any() and not self.dialect.derivative(NAN_SLOPE):
            return np.where(missing, 0.0, slope)
        return slope


class SigmaParameter(Message):
    """``smooth_l1_loss_param`` of most forks."""

    sigma: float = floating(1)


class WeightedSmoothL1(SmoothL1):
    """Which bottom is which weight, by the form's switches: ``bottoms`` the counts that it takes, ``inside`` and
    ``outside`` the weights' places, ``forgets`` whether the slope lacks the inside weight."""

    max_bottoms = 4

    def check_counts(self, bottoms: int, tops: int) -> None:
        super().check_counts(bottoms, tops)
        taken = self.form.switches["bottoms"]
        if bottoms not in taken:
            raise LayerError(
                f"{self.type} ({self.form.name}) takes {' or '.join(map(str, taken))} bottom blobs, got {bottoms}",
                "leave the weights away, or give all of them",
            )

    def inside(self, bottom: Sequence[Blob]) -> Any:
        return self._weight("inside", bottom)

    def outside(self, bottom: Sequence[Blob]) -> Any:
        return self._weight("outside", bottom)

    def factor(self, bottom: Sequence[Blob]) -> Any:
        inside = self.inside(bottom)
        if self.forgets(inside) and not self.dialect.derivative(f"{self.form.name}-smooth-l1-weight-missing"):
            inside = None
        return product(inside, self.outside(bottom))

    def forgets(self, inside: Any) -> bool:
        """Whether the form's slope lacks the inside weight, and it makes a difference."""
        return (
            inside is not None
            and bool(self.form.switches.get("forgets"))
            and bool(np.any((inside != 0) & (inside != 1)))
        )

    def _weight(self, which: str, bottom: Sequence[Blob]) -> Any:
        place = self.form.switches.get(which, len(bottom))
        return first_of(bottom[place], bottom[0]) if place < len(bottom) else None


class UnchainedSmoothL1(WeightedSmoothL1):
    """What weighs 0 where no loss_weight is given: its LayerSetUp does not call LossLayer's. A second top, where the
    form has one, holds the errors of each position, added over the channels."""

    implicit_weight = False
    exact_tops = None
    min_tops = 1
    max_tops = 2

    def check_counts(self, bottoms: int, tops: int) -> None:
        super().check_counts(bottoms, tops)
        if tops > self.form.switches.get("tops", 1):
            raise LayerError(
                f"{self.type} ({self.form.name}) produces one top blob, got {tops}", "leave the second away"
            )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.declared_weights = list(self.param.loss_weight)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        for blob in top[1:]:
            blob.reshape(bottom[0].num, 1, bottom[0].height, bottom[0].width)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().forward(bottom, top)
        errors = self.errors(self.difference.wide, bottom)
        for blob in top[1:]:
            of_channels = errors.reshape(bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width)
            blob.data[...] = np.expand_dims(exact_sum(of_channels, 1), 1)


def sigma_squared(sigma: float) -> float:
    """The square of a float32, rounded to float32 as C++ multiplies two of them."""
    return float(FLOAT.rounded(sigma * sigma))


def neither(weights: Any) -> NDArray[np.bool_]:
    """Where weights are neither 0 nor 1."""
    return np.asarray((weights != 0) & (weights != 1))


def first_of(blob: Blob, like: Blob) -> Any:
    """As many of a blob's entries as another has, in its shape. Raises `LayerError` where there are fewer."""
    if blob.count < like.count:
        raise LayerError(
            f"a blob of shape {blob.shape} beside predictions of shape {like.shape}: Caffe reads past its end",
            "give weights and targets as many rows as the predictions have",
        )
    return blob.wide.reshape(-1)[: like.count].reshape(like.shape)


def product(a: Any, b: Any) -> Any:
    """a times b, where None is nothing to multiply by."""
    return b if a is None else a if b is None else a * b
