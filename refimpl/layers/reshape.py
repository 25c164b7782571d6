"""Reshape: the same entries in another shape (``src/caffe/layers/reshape_layer.cpp``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["Reshape"]


class Reshape(Layer):
    """``num_axes`` axes from ``axis`` on (-1: to the last) are replaced by the dimensions of ``shape``.

    A dimension of 0 copies the bottom's at that place, a single -1 is inferred from the rest. A negative ``axis``
    counts places between axes from the end: -1 is after the last. Top and bottom share data and diff. No kinks.
    """

    type = "Reshape"
    exact_bottoms = 1
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] is bottom[0]:
            raise LayerError("Reshape cannot run in place", "give its top another name than its bottom")
        if self.param.reshape_param.shape.dim.count(-1) > 1:
            raise LayerError("the new shape has several dimensions of -1", "let at most one dimension be inferred")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        old = bottom[0].shape
        start, end = self._replaced(len(old))
        new = [*old[:start], *self._copied(old, start), *old[end:]]
        if -1 in new:
            known = -math.prod(new)
            if known == 0 or bottom[0].count % known:
                raise LayerError(
                    f"{bottom[0].count} entries of a bottom of shape {old} cannot be divided by {known}", "check shape"
                )
            new[new.index(-1)] = bottom[0].count // known
        if math.prod(new) != bottom[0].count:
            raise LayerError(
                f"a bottom of shape {old} cannot take the shape {tuple(new)}", "the number of entries must not change"
            )
        top[0].reshape(*new)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def _replaced(self, axes: int) -> tuple[int, int]:
        param = self.param.reshape_param
        start = param.axis if param.axis >= 0 else axes + param.axis + 1
        if not 0 <= start <= axes:
            raise LayerError(
                f"axis {param.axis} is out of range for a {axes}-D bottom", f"use an axis from {-axes - 1} to {axes}"
            )
        end = axes if param.num_axes == -1 else start + param.num_axes
        if not start <= end <= axes:
            raise LayerError(
                f"num_axes {param.num_axes} from axis {start} on is out of range for a {axes}-D bottom",
                "lower num_axes",
            )
        return start, end

    def _copied(self, old: tuple[int, ...], start: int) -> list[int]:
        dims = list(self.param.reshape_param.shape.dim)
        for i, dim in enumerate(dims):
            if dim == 0:
                if start + i >= len(old):
                    raise LayerError(
                        f"dimension {i} of the new shape is 0, and a bottom of shape {old} has no axis there to copy"
                    )
                dims[i] = old[start + i]
        return dims

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The data is shared."""

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """The diff is shared."""
