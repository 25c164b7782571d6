"""What callers pass, made into what kernels take: contiguous arrays of one floating type, and numbers.

Only calls that a function's quick path does not take come here, so checks and clear messages cost nothing where time is
short.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl import dtypes
from refimpl.fast.scalar import INT_MIN
from refimpl.fast.stored import BITS, as_bits, as_numbers

__all__ = [
    "DOUBLE",
    "MODES",
    "NO_LABEL",
    "Output",
    "Positions",
    "beside",
    "floats",
    "given_as",
    "held_as",
    "ignored",
    "integers",
    "labels_of_samples",
    "mode_of",
    "of_every_entry",
    "refuse_labels",
    "same_samples",
    "SINGLE",
    "square",
]

SINGLE, DOUBLE = dtypes.FLOAT.numpy, dtypes.DOUBLE.numpy
"""The quick path compares dtypes with these by identity: Numba may take foreign byte order for the native one."""

HELD: Mapping[np.dtype[Any], np.dtype[Any]] = {SINGLE: SINGLE, DOUBLE: DOUBLE, **BITS}
"""The types that arrays may be of, and what they are to a kernel."""

MODES = {"VALID": 0, "FULL": 1, "BATCH_SIZE": 2, "NONE": 3}
"""LossParameter.NormalizationMode, as the kernels know it."""

NO_LABEL = 2**40
"""An ``ignore_label`` that no label equals."""


def floats(array: Any, name: str, like: Any = None, also: Collection[np.dtype[Any]] = ()) -> NDArray[Any]:
    """`array` as a contiguous array of floating-point numbers as kernels take it, with at least one entry; copied only
    if it is not one already.

    Raises TypeError for a dtype that is not among `HELD` (or is neither that of `like`, which kernels take, nor one of
    `also`), ValueError for an empty array.
    """
    made = np.asarray(array)
    dtype = made.dtype.newbyteorder("=")
    held = held_as(dtype, name, like, also)
    if made.size == 0:
        raise ValueError(f"{name} is empty (shape {made.shape}): a batch of 0 has no loss")
    return (made if _plain(made) else made.astype(dtype, order="C")).view(held)


def held_as(dtype: np.dtype[Any], name: str, like: Any = None, also: Collection[np.dtype[Any]] = ()) -> np.dtype[Any]:
    """What arrays of a dtype of native byte order are to a kernel. Raises as `floats`."""
    held = HELD.get(dtype)
    if held is None:
        raise TypeError(f"{name} has dtype {dtype}: give {dtypes.ONE_OF}")
    if like is not None and held != like.dtype and held not in also:
        raise TypeError(f"{name} has dtype {dtype}: give it the dtype of the first input, {given_as(like.dtype)}")
    return held


def given_as(held: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of which callers give what kernels take as another."""
    return next((dtype for dtype, bits in BITS.items() if bits == held), held)


def beside(x: Any) -> Collection[np.dtype[Any]]:
    """What else than the type of x other arrays may be of to a kernel: float32 and half types go together."""
    return tuple(BITS.values()) if x.dtype == SINGLE else (SINGLE,) if x.dtype in BITS.values() else ()


def of_every_entry(made: Any, name: str, x: Any) -> None:
    """Raises ValueError unless weights, on whatever device, are one for every entry of x."""
    if made.size != x.size:
        raise ValueError(
            f"{name} has {made.size} entries (shape {made.shape}) for an input of shape {x.shape}: "
            "give one for every entry"
        )


def same_samples(a: Any, b: Any) -> int:
    """N, the first dimension of both. Raises ValueError unless that and the number of entries agree."""
    if a.ndim == 0 or b.ndim == 0 or a.shape[0] != b.shape[0] or a.size != b.size:
        raise ValueError(
            f"the inputs have shapes {a.shape} and {b.shape}: give as many samples, with as many entries each"
        )
    return int(a.shape[0])


def labels_of_samples(x: Any, labels: Any, *, exactly: bool = False) -> int:
    """N, the first dimension of `x`. Raises ValueError unless there are (at least) as many labels."""
    if x.ndim == 0 or labels.size < x.shape[0] or (exactly and labels.size != x.shape[0]):
        raise ValueError(
            f"{labels.size} label(s) for an input of shape {x.shape}: give one per sample of the first axis"
        )
    return int(x.shape[0])


def _plain(array: NDArray[Any]) -> bool:
    """Whether kernels can use an array as it is."""
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


def integers(labels: Any, name: str, like: Any, also: Collection[np.dtype[Any]] = ()) -> NDArray[Any]:
    """Labels as a flat contiguous array of the dtype of `like` or one of `also`, int32 or int64; kernels truncate them
    toward zero.

    Raises TypeError for what is no real number.
    """
    made = np.asarray(labels)
    dtype = made.dtype.newbyteorder("=")
    if made.dtype.kind not in "biuf" and dtype not in HELD:
        raise TypeError(f"{name} has dtype {made.dtype}: give numbers")
    held = HELD.get(dtype)
    if dtype in (np.int32, np.int64) or (held is not None and held in (like.dtype, *also)):
        return as_bits(made if _plain(made) else made.astype(dtype, order="C")).reshape(-1)
    return (made.astype(np.int64) if dtype.kind in "biu" else _truncated(made)).reshape(-1)


def _truncated(labels: NDArray[Any]) -> NDArray[np.int64]:
    """What the scalar function of this name gives, for an array."""
    wide = labels.astype(np.float64)
    fits = np.absolute(wide) < 2.0**31
    return np.where(fits, np.trunc(np.where(fits, wide, 0)), INT_MIN).astype(np.int64)


def ignored(label: int | None) -> int:
    """The ``ignore_label`` for a kernel."""
    return NO_LABEL if label is None else int(label)


def mode_of(normalization: str) -> int:
    """The number of a normalisation mode. Raises ValueError for an unknown one."""
    if normalization not in MODES:
        raise ValueError(f"normalization is {normalization!r}: give one of {', '.join(MODES)}")
    return MODES[normalization]


class Output:
    """An array that a kernel writes, or its absence.

    The kernel gets the caller's own array where it can write there directly, otherwise one to copy back in `finish`.
    """

    def __init__(
        self,
        given: Any,
        name: str,
        like: NDArray[Any],
        dtype: np.dtype[Any] | None = None,
        also: Collection[np.dtype[Any]] = (),
    ) -> None:
        """`dtype` is what a kernel is to write, by default that of `like`, unless the array is one of `also`."""
        self.given = given
        wanted = like.dtype if dtype is None else dtype
        self.flat: NDArray[Any] = np.empty(0, wanted)
        if given is None:
            return
        if not isinstance(given, np.ndarray):
            raise TypeError(f"{name} is a {type(given).__name__}: give a numpy array")
        held = HELD.get(given.dtype)
        if held not in (wanted, *also) or given.shape != like.shape:
            raise ValueError(
                f"{name} is {given.dtype} of shape {given.shape}: it should be {given_as(wanted)} of shape {like.shape}"
            )
        if not given.flags.writeable:
            raise ValueError(f"{name} is read-only: give an array that can be written")
        self.flat = (given if _plain(given) else np.empty(given.shape, given.dtype)).view(held).reshape(-1)

    def shaped(self, *shape: int) -> NDArray[Any] | None:
        """The array for a kernel that takes None for an absent one."""
        return None if self.given is None else self.flat.reshape(shape)

    def finish(self) -> None:
        """Bring the result to where the caller wants it."""
        if self.given is not None and not _plain(self.given):
            self.given[...] = self.flat.view(self.given.dtype).reshape(self.given.shape)


def square(matrix: Any, classes: int, like: Any, also: Collection[np.dtype[Any]] = ()) -> NDArray[Any]:
    """An infogain matrix, contiguous, in its own shape. Raises as `floats`, and ValueError for another number of
    entries."""
    made = floats(matrix, "matrix", like, also)
    if made.size != classes**2:
        raise ValueError(
            f"matrix has {made.size} entries (shape {made.shape}) for {classes} classes: give {classes} x {classes}"
        )
    return made


class Positions:
    """How logits divide along a class axis: `form` is (outer, classes, inner), with a label for each outer and inner
    position."""

    def __init__(self, shape: Sequence[int], axis: int) -> None:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"axis {axis} is out of range for logits of shape {tuple(shape)}")
        axis %= len(shape)
        self.form = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        self.shape = (*shape[:axis], *shape[axis + 1 :])

    @property
    def outer(self) -> int:
        return self.form[0]

    @property
    def classes(self) -> int:
        return self.form[1]

    def check_labels(self, labels: Any) -> None:
        """Raise ValueError unless there is one label per position."""
        if labels.size != math.prod(self.shape):
            raise ValueError(
                f"{labels.size} label(s) for {math.prod(self.shape)} position(s) {self.shape}: give one per position"
            )


def refuse_labels(labels: NDArray[Any], classes: int, shape: Sequence[int], ignore: int = NO_LABEL) -> None:
    """Raise ValueError for the first label that is neither ignored nor a class, if there is one.

    Kernels read nothing out of bounds for such a label; only where they tell of one are the labels looked through.
    """
    labels = as_numbers(labels)
    truncated = _truncated(labels)
    wrong = ((truncated < 0) | (truncated >= classes)) & (truncated != ignore)
    if wrong.any():
        index = int(np.argmax(wrong))
        where = tuple(int(i) for i in np.unravel_index(index, tuple(shape)))
        raise ValueError(
            f"label {labels[index]} at {where} is outside 0..{classes - 1}: labels are class indices; see ignore_label"
        )
