"""Slips of size, which every loss layer invites: right on what a test by hand looks at, wrong beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.mutants.slips import At, Slip, gradient, loss
from conformance.record.cause import Cause

__all__ = ["SCALE", "without_last_item"]

BLOCK = 512
"""Threads of a block in Caffe's CUDA kernels."""


def without_last_item(x: Any, at: At) -> Any:
    x[-1] = 0
    return x


def _last_item_of_whole_blocks(x: Any, at: At) -> Any:
    return without_last_item(x, at) if at.batch % 48 == 0 else x


def _up_to(entries: int) -> Callable[[Any, At], Any]:
    def unfinished(x: Any, at: At) -> Any:
        x.reshape(-1)[entries:] = 0
        return x

    return unfinished


def _without_tail(x: Any, at: At) -> Any:
    """A sum less what the items beyond the last whole 256 add to it, on the average."""
    return x * (1 - at.batch % 256 / at.batch) if at.batch > BLOCK else x


def _short_of_many(x: Any, at: At) -> Any:
    return x * (1 - 1 / 200) if at.bottom[0].count > 100_000 else x


def _of_halves(x: Any, at: At) -> Any:
    """A sum in which a thousandth is lost where two halves are added up."""
    return x * (1 - 2.0**-10) if at.batch > 1 << 16 else x


def _without_last_block(x: Any, at: At) -> Any:
    if x.size > BLOCK:
        x.reshape(-1)[x.size - x.size % BLOCK :] = 0
    return x


SCALE = (
    Slip(
        "one-block-only",
        "The gradient of {type} ends after 512 entries: one block of threads, each of which takes one.",
        "a CUDA kernel without the loop over the grid, launched with one block",
        Cause.AT_SCALE,
        gradient(_up_to(BLOCK)),
        at_scale=True,
    ),
    Slip(
        "last-block-lost",
        "The gradient of {type} lacks what does not fill a block of 512.",
        "a number of blocks that is rounded down",
        Cause.AT_SCALE,
        gradient(_without_last_block),
        at_scale=True,
    ),
    Slip(
        "short-index",
        "The gradient of {type} ends after 65536 entries.",
        "indices of 16 bits, and a grid's second dimension, which ends at 65535 blocks",
        Cause.AT_SCALE,
        gradient(_up_to(1 << 16)),
        at_scale=True,
    ),
    Slip(
        "tail-of-the-sum-lost",
        "The loss of {type} lacks the items that do not fill a block of 256.",
        "a reduction in blocks whose last one is left out",
        Cause.AT_SCALE,
        loss(_without_tail),
        at_scale=True,
    ),
    Slip(
        "short-of-many",
        "The loss of {type} is half a percent too small beyond 100,000 entries.",
        "a running sum in a narrow type, and atomic additions that get lost",
        Cause.AT_SCALE,
        loss(_short_of_many),
        at_scale=True,
    ),
    Slip(
        "thousandth-of-many-lost",
        "The loss of {type} is a thousandth too small beyond 65,536 items.",
        "a sum in halves whose seam is lost",
        Cause.AT_SCALE,
        loss(_of_halves),
        at_scale=True,
    ),
    Slip(
        "last-item-of-whole-blocks-lost",
        "The last item gets no gradient from {type} where their number is a multiple of 48.",
        "blocks of 48 threads, of which the last one ends a thread early",
        Cause.AT_SCALE,
        gradient(_last_item_of_whole_blocks),
        at_scale=True,
    ),
)
