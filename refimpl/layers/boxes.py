"""Boxes as SSD has them: four float32 corners, whatever the net's type is, each operation on them rounded to float32.

After ``src/caffe/util/bbox_util.cpp`` of weiliu89/caffe@4817bf8b and its copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError

__all__ = ["Box", "decode", "encode", "logarithm", "match", "suppressed"]

F: Any = FLOAT.numpy.type
Box = NDArray[Any]
"""xmin, ymin, xmax, ymax in float32."""

LEAST_OVERLAP = 1e-6
LEAST_SIZE = 1e-5
HALF = F(0.5)


def _sizes(box: Box) -> tuple[Any, Any]:
    return box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]


def area(box: Box) -> Any:
    """Its area, 0 where a corner lies on the wrong side; of each of several along the axes before the last."""
    width, height = _sizes(box)
    return np.where((width < 0) | (height < 0), F(0), width * height)


def overlap(a: Box, b: Box) -> Any:
    """The area that two boxes share over that of their union; of each of several in ``a`` with ``b``."""
    apart = (b[0] > a[..., 2]) | (b[2] < a[..., 0]) | (b[1] > a[..., 3]) | (b[3] < a[..., 1])
    width, height = _sizes(np.concatenate([np.maximum(a[..., :2], b[:2]), np.minimum(a[..., 2:], b[2:])], -1))
    shared = width * height
    with np.errstate(divide="ignore", invalid="ignore"):
        share = shared / (area(a) + area(b) - shared)
    return np.where(apart | ~((width > 0) & (height > 0)), F(0), share)


def _centred(box: Box, positive: bool = True) -> tuple[Any, Any, Any, Any]:
    """Centre, width and height. Raises `LayerError` where a size is not positive."""
    width, height = _sizes(box)
    if positive and not (width > 0 and height > 0):
        raise LayerError(f"a box of {width} by {height} has no size to divide by", "boxes need a positive size")
    return (box[0] + box[2]) * HALF, (box[1] + box[3]) * HALF, width, height


def logarithm(x: Any) -> Any:
    """Rounded to nearest. The GNU C library's logf is off by up to 0.82 units in the last place, and so are the targets
    that forks compute with it."""
    return F(np.log(np.float64(x)))


def encode(
    prior: Box,
    variance: Box,
    code: str,
    in_target: bool,
    box: Box,
    log: Callable[[Any], Any] = logarithm,
) -> Box:
    """A box as its distance from a prior, in the units that the code says; ``in_target``: not over the variances."""
    if code == "CENTER_SIZE":
        px, py, pw, ph = _centred(prior)
        x, y, w, h = _centred(box)
        found = np.array([(x - px) / pw, (y - py) / ph, log(w / pw), log(h / ph)], F)
        return found if in_target else np.asarray(found / variance)
    offset = box - prior
    if code == "CORNER_SIZE":
        _, _, pw, ph = _centred(prior)
        offset = offset / np.array([pw, ph, pw, ph], F)
    if in_target:
        return offset
    if not (variance > 0).all():
        raise LayerError(f"the variances {variance} are not positive", "variances divide the targets")
    return offset / variance


def decode(prior: Box, variance: Box, code: str, in_target: bool, offset: Box) -> Box:
    """The box that an offset from a prior means: the inverse of `encode`."""
    scaled = offset if in_target else variance * offset
    if code == "CORNER":
        return np.asarray(prior + scaled)
    px, py, pw, ph = _centred(prior)
    if code == "CORNER_SIZE":
        return np.asarray(prior + scaled * np.array([pw, ph, pw, ph], F))
    x, y = scaled[0] * pw + px, scaled[1] * ph + py
    w, h = (F(np.exp(np.float64(s))) * size for s, size in zip(scaled[2:], (pw, ph), strict=True))
    return np.array([x - w * HALF, y - h * HALF, x + w * HALF, y + h * HALF], F)


def match(
    truths: Sequence[Box], boxes: Sequence[Box], candidates: Sequence[int], every: bool, threshold: float, inside: bool
) -> tuple[list[int], list[Any]]:
    """Each box's truth, -1 for none and -2 for one that is ignored, and its overlap with it, or its largest.

    The pair that overlaps most is matched, then the one of what is left, and so on; then, with ``every``, each other
    box with the truth that overlaps it most, if by the threshold. ``inside``: boxes that cross the image's border are
    ignored. ``candidates`` are the truths that count.
    """
    found, best = np.full(len(boxes), -1), np.zeros(len(boxes), F)
    if not candidates or not len(boxes):
        return found.tolist(), list(best)
    rows = np.asarray(boxes)
    shared = np.stack([overlap(rows, truths[j]) for j in candidates], 1)
    if inside:
        found[((rows < 0) | (rows > 1)).any(1)] = -2
    shared[~(shared > LEAST_OVERLAP) | (found == -2)[:, None]] = 0
    best = shared.max(1)
    left = shared.copy()
    while left.any():
        i, n = np.unravel_index(int(left.argmax()), left.shape)
        found[i], best[i] = candidates[int(n)], left[i, n]
        left[i], left[:, n] = 0, 0
    if every:
        near = np.where(shared >= F(threshold), shared, F(0))
        others = (found == -1) & near.any(1)
        found[others] = np.asarray(candidates)[near[others].argmax(1)]
    return found.tolist(), list(best)


def suppressed(boxes: Sequence[Box], scores: Sequence[Any], threshold: float, most: int) -> Iterator[int]:
    """The boxes that none of a higher score overlaps by more than the threshold; at most so many, -1 is any number."""
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])
    order = order if most == -1 else order[:most]
    while order:
        first, *order = order
        if area(boxes[first]) < LEAST_SIZE:
            continue
        yield first
        order = [i for i in order if area(boxes[i]) >= LEAST_SIZE and overlap(boxes[first], boxes[i]) <= F(threshold)]
