"""Sizes: the shapes of scores that are timed, from a call that is all overhead to one that is all memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["SIZES", "Size", "size_named"]


@dataclass(frozen=True)
class Size:
    """The shape of a layer's first bottom, samples first; ``ignored`` is the share of labels that do not count."""

    name: str
    shape: tuple[int, ...]
    ignored: float = 0.0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


SIZES: dict[str, Size] = {
    size.name: size
    for size in (
        Size("tiny", (64, 10)),
        Size("classifier", (256, 1000)),
        Size("large", (4096, 1000)),
        Size("dense", (8, 21, 128, 128), ignored=0.1),
        Size("elementwise", (4096, 1024)),
        Size("huge", (65536, 1024)),
    )
}
"""By name. elementwise has 2^22 entries, huge 2^26."""


def size_named(text: str) -> Size:
    """One of `SIZES`, or a shape written as ``1024x1024``. Raises ValueError for anything else."""
    if text in SIZES:
        return SIZES[text]
    numbers = text.split("x")
    if len(numbers) < 2 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(f"no size {text!r}: give one of {', '.join(SIZES)}, or a shape as in 1024x1000")
    return Size(text, tuple(map(int, numbers)))
