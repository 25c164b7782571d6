"""Which axes a layer works along: legacy names of an axis, and parameters that cover some of a blob's axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refimpl.arithmetic import exact_sum
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.messages import ConcatParameter, SliceParameter

__all__ = ["Span", "covered_shape", "legacy_axis"]


def legacy_axis(param: ConcatParameter | SliceParameter, legacy: str, blob: Blob) -> int:
    """The axis that ``axis`` or its predecessor (``concat_dim``, ``slice_dim``: from the front only) names.

    Raises `LayerError` where both are given or the blob lacks the axis.
    """
    if not param.has(legacy):
        return blob.canonical_axis(param.axis)
    if param.has("axis"):
        raise LayerError(f"both axis and {legacy} are given", f"give axis only; {legacy} is its old name")
    axis: int = getattr(param, legacy)
    if axis >= blob.num_axes:
        raise LayerError(
            f"{legacy} {axis} is out of range for a blob of shape {blob.shape}", f"use an axis below {blob.num_axes}"
        )
    return axis


def covered_shape(blob: Blob, axis: int, num_axes: int) -> tuple[int, ...]:
    """The shape of a parameter over ``num_axes`` axes of ``blob`` from ``axis`` on; -1: to the last.

    Raises `LayerError` where the blob lacks them.
    """
    start = blob.canonical_axis(axis)
    if num_axes < -1:
        raise LayerError(f"num_axes {num_axes} is negative", "use -1 for all axes from axis on")
    end = blob.num_axes if num_axes == -1 else start + num_axes
    if end > blob.num_axes:
        raise LayerError(
            f"{num_axes} axes from axis {start} on extend past the bottom's shape {blob.shape}", "lower num_axes"
        )
    return blob.shape[start:end]


@dataclass(frozen=True)
class Span:
    """The axes ``start`` to ``end`` (excluded) of a blob of ``num_axes`` axes, which a parameter covers."""

    start: int
    end: int
    num_axes: int

    @classmethod
    def matching(cls, parameter: Blob, blob: Blob, axis: int) -> Span:
        """Where ``parameter`` lies over ``blob`` from ``axis`` on; without axes it covers none, whatever the axis.

        Raises `LayerError` where the shapes differ.
        """
        start = blob.canonical_axis(axis) if parameter.num_axes else 0
        end = start + parameter.num_axes
        if blob.shape[start:end] != parameter.shape:
            raise LayerError(
                f"shape {parameter.shape} of the parameter does not fit a bottom of {blob.shape} from axis {start} on",
                "its shape must be that of consecutive axes of the first bottom",
            )
        return cls(start, end, blob.num_axes)

    def spread(self, parameter: Any) -> Any:
        """The parameter with axes of 1 around its own, to broadcast over the blob."""
        return parameter.reshape((1,) * self.start + parameter.shape + (1,) * (self.num_axes - self.end))

    def total(self, values: Any) -> Any:
        """The blob's values summed over the axes that the parameter does not cover, in the parameter's shape."""
        return exact_sum(values, tuple(a for a in range(self.num_axes) if not self.start <= a < self.end))
