"""Blob: an array of data and its diff, as Caffe's ``include/caffe/blob.hpp`` has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import value_of
from refimpl.dtypes import DOUBLE
from refimpl.errors import LayerError

if TYPE_CHECKING:
    from refimpl.messages import FillerParameter

__all__ = ["Blob", "Storage", "Zeros"]

Zeros = Callable[[int], Any]
"""Makes a flat array of zeros in a net's storage: numpy of its dtype, or `Approx`."""


@dataclass(frozen=True)
class Storage:
    """What a net's arrays are made with: the ``data`` and the ``diff`` of its blobs, the ``loss`` that a loss layer
    puts out with its diff, and whatever else layers ``keep``."""

    data: Zeros
    diff: Zeros
    loss: Zeros
    keep: Zeros

    @classmethod
    def uniform(cls, zeros: Zeros) -> Storage:
        """One storage for everything."""
        return cls(zeros, zeros, zeros, zeros)


class _Buffer:
    """Memory that blobs may share (Caffe's SyncedMemory)."""

    def __init__(self, zeros: Zeros, size: int) -> None:
        self.memory = zeros(size)


class Blob:
    """Data and diff of one shape.

    As in Caffe, a blob that grows past its memory gets new, zeroed memory for both, a blob that shrinks keeps its
    own, and two blobs may share either. ``data`` and ``diff`` are views in the net's storage dtype; a write through
    them is seen by every sharer. Layers read through ``wide`` and ``wide_diff``, which are float64 for a net of a
    narrower type. ``filler`` is set where a random filler is to give a learnable blob its first values.
    """

    def __init__(self, zeros: Zeros, shape: tuple[int, ...] = (0,), diff: Zeros | None = None) -> None:
        self._zeros, self._zero_diff = zeros, diff or zeros
        self._data = _Buffer(self._zeros, 0)
        self._diff = _Buffer(self._zero_diff, 0)
        self.shape: tuple[int, ...] = (0,)
        self.reallocations = 0
        self.filler: FillerParameter | None = None
        self.reshape(*shape)

    def reshape(self, *shape: int) -> None:
        """Take a new shape. Raises `LayerError` for a negative dimension."""
        if shape and min(shape) < 0:
            raise LayerError(f"a blob cannot take the shape {shape}: a dimension is negative")
        self.shape = tuple(map(int, shape))
        count = self.count
        if count > self._data.memory.size or count > self._diff.memory.size:
            self._data = _Buffer(self._zeros, count)
            self._diff = _Buffer(self._zero_diff, count)
            self.reallocations += 1

    def move(self, data: Zeros, diff: Zeros) -> None:
        """Keep data and diff, which nobody shares yet, in another storage from now on."""
        for buffer, zeros in ((self._data, data), (self._diff, diff)):
            held, buffer.memory = buffer.memory, zeros(buffer.memory.size)
            buffer.memory[...] = held
        self._zeros, self._zero_diff = data, diff

    def reshape_like(self, other: Blob) -> None:
        self.reshape(*other.shape)

    def share_data(self, other: Blob) -> None:
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        self._diff = other._diff

    @property
    def data(self) -> Any:
        return _shaped(self._data.memory, self.shape)

    @property
    def diff(self) -> Any:
        return _shaped(self._diff.memory, self.shape)

    @property
    def wide(self) -> Any:
        """The data in working precision: float64, complex128 or `Approx`. May be a view: do not write to it."""
        return _widened(self.data)

    @property
    def wide_diff(self) -> Any:
        """The diff in working precision, as `wide`."""
        return _widened(self.diff)

    def integers(self) -> NDArray[np.int64]:
        """The data truncated toward zero, as C++'s ``static_cast<int>`` does: int64 of the blob's shape.

        What no 32-bit integer holds (NaN, infinities, anything beyond) becomes INT_MIN, as x86-64 converts it.
        """
        value = value_of(self.wide)
        fits = np.isfinite(value) & (np.absolute(value) < 2.0**31)
        return np.where(fits, np.trunc(np.where(fits, value, 0.0)), -(2.0**31)).astype(np.int64)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def num_axes(self) -> int:
        return len(self.shape)

    def canonical_axis(self, axis: int) -> int:
        """``axis`` with negatives counted from the end. Raises `LayerError` outside the blob's axes."""
        if not -self.num_axes <= axis < self.num_axes:
            raise LayerError(
                f"axis {axis} is out of range for a {self.num_axes}-D blob of shape {self.shape}",
                f"use an axis from {-self.num_axes} to {self.num_axes - 1}" if self.shape else "a 0-D blob has no axis",
            )
        return axis % self.num_axes

    def count_between(self, start: int, end: int | None = None) -> int:
        """The product of the dimensions from ``start`` up to ``end``. Raises `LayerError` for axes the blob lacks."""
        end = self.num_axes if end is None else end
        if not 0 <= start <= end <= self.num_axes:
            raise LayerError(
                f"axes {start} to {end} are out of range for a {self.num_axes}-D blob of shape {self.shape}"
            )
        return math.prod(self.shape[start:end])

    def refuse_more_than_four_axes(self) -> None:
        """Raise `LayerError` where Caffe's legacy accessors have no meaning."""
        if self.num_axes > 4:
            raise LayerError(
                f"num, channels, height and width do not exist on a blob of {self.num_axes} axes (shape {self.shape})",
                "use at most 4 axes",
            )

    def _legacy(self, axis: int) -> int:
        self.refuse_more_than_four_axes()
        return self.shape[axis] if axis < self.num_axes else 1

    @property
    def num(self) -> int:
        """Axis 0 of a blob of at most 4 axes, 1 where there is none (Caffe's legacy accessor). Raises `LayerError`
        beyond 4."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)


def _shaped(memory: Any, shape: tuple[int, ...]) -> Any:
    """A view of as much of the memory as the shape takes."""
    count = math.prod(shape)
    return (memory if memory.size == count else memory[:count]).reshape(shape)


def _widened(array: Any) -> Any:
    return array.astype(np.float64) if array.dtype.itemsize < DOUBLE.numpy.itemsize else array
