"""The bounded judge: is every element of a reported array within the running error of what the reference computes?

NaN, infinities and the sign of zero are settled before any arithmetic: a NaN is wanted exactly where the reference
has one, an infinity where the reference has that infinity (or where the bound reaches past the type's largest
number), and -0 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Array
from conformance.contract.dtypes import TypeClaim
from refimpl.running_error import Approx

__all__ = ["Measurement", "measure", "nearest"]


@dataclass(frozen=True)
class Measurement:
    """How a reported array compares.

    ``headroom`` is the smallest bound / error (inf: nothing was off, 0: out of all bounds); ``index``, ``got``,
    ``want`` and ``bound`` are the element's that has it. ``rejected`` elements are out of bounds, ``unbounded`` ones
    are off and have no finite bound: nothing can be said of them. ``boundless`` are all that have none, off or not.
    """

    accepted: bool
    headroom: float
    index: tuple[int, ...]
    got: float
    want: float
    bound: float
    rejected: int
    unbounded: int
    boundless: int
    size: int


def measure(got: Array, wants: Sequence[Approx], dtype: str) -> Measurement:
    """Compare with one or more right answers; each element may follow any of them. Shapes must agree in their count."""
    flat, rooms = _rooms(got, wants, dtype)
    room = rooms[0] if len(rooms) == 1 else rooms.max(axis=0)
    if not room.size:
        return Measurement(True, np.inf, (), 0.0, 0.0, 0.0, 0, 0, 0, 0)
    worst = int(room.argmin())
    want = wants[int(rooms[:, worst].argmax())]
    boundless = np.logical_and.reduce([np.isinf(version.error.ravel()) for version in wants])
    unbounded = 0
    if count := int(np.count_nonzero(boundless)):
        off = np.logical_and.reduce([version.value.ravel() != flat for version in wants])
        unbounded = int(np.count_nonzero(boundless & off & np.isfinite(flat)))
    return Measurement(
        accepted=bool(np.count_nonzero(room >= 1) == room.size),
        headroom=float(room[worst]),
        index=tuple(int(i) for i in np.unravel_index(worst, want.shape)) if want.shape else (),
        got=float(flat[worst]),
        want=float(want.value.ravel()[worst]),
        bound=float(want.error.ravel()[worst]),
        rejected=int(np.count_nonzero(room < 1)),
        unbounded=unbounded,
        boundless=count,
        size=room.size,
    )


def nearest(
    got: Array, wants: Sequence[Approx], dtype: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Of the right answers the one that each element is nearest to, its bound, and whether the element is out of it."""
    _, rooms = _rooms(got, wants, dtype)
    shape = wants[0].value.shape
    best = rooms.argmax(axis=0)[np.newaxis]
    value, error = (
        np.take_along_axis(np.stack([np.ravel(each) for each in some]), best, 0).reshape(shape)
        for some in ([want.value for want in wants], [want.error for want in wants])
    )
    return value, error, (rooms.max(axis=0) < 1).reshape(shape)


def _rooms(got: Array, wants: Sequence[Approx], dtype: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What was got, flat, and a row of headrooms per right answer."""
    flat = np.asarray(got, dtype=np.float64).ravel()
    own = TypeClaim.named(dtype).scores
    largest = [(want.stored or own).largest for want in wants]
    rooms = zip(wants, largest, strict=True)
    return flat, np.stack([_headroom(flat, want.value.ravel(), want.error.ravel(), most) for want, most in rooms])


def _headroom(
    got: NDArray[np.float64], want: NDArray[np.float64], bound: NDArray[np.float64], largest: float
) -> NDArray[np.float64]:
    """bound / error per element: inf where nothing is off, 0 where one is not a number, or infinite, and the other is
    not."""
    same = got == want
    if np.count_nonzero(same) == same.size:
        return np.full(same.shape, np.inf)
    with np.errstate(all="ignore"):
        error = np.absolute(got - want)
        room = np.where(error == 0, np.inf, bound / error)
        same |= np.isnan(got) & np.isnan(want)
        overflowed = np.isinf(got) & (np.sign(got) * want + bound > largest) & np.isfinite(want)
        room = np.where(np.isfinite(got) & np.isfinite(want), room, 0.0)
    return np.where(same | overflowed, np.inf, room)
