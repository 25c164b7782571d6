"""Blob: a shape over two pieces of memory, which other blobs may share (``blob.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

__all__ = ["Blob", "Refused"]


class Refused(Exception):
    """Caffe stops here; the argument is the stage."""


class Blob:
    """``data`` and ``diff`` are flat, row-major, and only as long as the shape says; the memory may be longer."""

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self.shape: list[int] = []
        self.capacity = 0
        self._data = np.zeros(0)
        self._diff = np.zeros(0)
        self.reshape(shape)

    def reshape(self, shape: Sequence[int]) -> None:
        self.shape = [int(n) for n in shape]
        if self.count() > self.capacity:
            self.capacity = self.count()
            self._data = np.zeros(self.capacity)
            self._diff = np.zeros(self.capacity)

    @property
    def data(self) -> np.ndarray:
        return self._data[: self.count()]

    @property
    def diff(self) -> np.ndarray:
        return self._diff[: self.count()]

    def share_data(self, other: Blob) -> None:
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        self._diff = other._diff

    def count(self, start: int = 0, end: int | None = None) -> int:
        return prod(self.shape[start : len(self.shape) if end is None else end])

    def axis(self, axis: int) -> int:
        """The axis counted from the front."""
        if not -len(self.shape) <= axis < len(self.shape):
            raise Refused("setup")
        return axis % len(self.shape)

    def legacy(self, index: int) -> int:
        """num, channels, height, width."""
        if len(self.shape) > 4:
            raise Refused("setup")
        return self.shape[index] if index < len(self.shape) else 1
