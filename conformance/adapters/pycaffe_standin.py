"""A stand-in for pycaffe: what a Python layer's ``import caffe`` finds where the layer is tried without Caffe.

It has what a layer needs and is as strict as pycaffe itself, so that a layer that runs here runs there: the blobs of a
layer can be indexed and not iterated over, a shape equals nothing but itself, dimensions are Python's own integers
(measured on a pycaffe of BVLC Caffe; ``python/caffe/_caffe.cpp``, ``include/caffe/layers/python_layer.hpp``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, overload

from refimpl.blob import Blob as ReferenceBlob

__all__ = ["TEST", "TRAIN", "Blob", "BlobVec", "IntVec", "Layer", "RawBlobVec", "standing_in"]

TRAIN, TEST = 0, 1


class IntVec:
    """A shape. Two of them are never equal, as in pycaffe: compare ``list(blob.shape)``."""

    def __init__(self, items: Sequence[int]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> IntVec: ...

    def __getitem__(self, index: int | slice) -> int | IntVec:
        return IntVec(self._items[index]) if isinstance(index, slice) else _at(self._items, index)

    def __iter__(self) -> Iterator[int]:
        return iter(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items


class Blob:
    """Data and diff of one shape, both numpy arrays of the net's type that are written to in place."""

    def __init__(self, blob: ReferenceBlob) -> None:
        self._blob = blob

    @property
    def data(self) -> Any:
        return self._blob.data

    @property
    def diff(self) -> Any:
        return self._blob.diff

    @property
    def shape(self) -> IntVec:
        return IntVec(self._blob.shape)

    @property
    def count(self) -> int:
        return self._blob.count

    @property
    def num(self) -> int:
        return self._blob.num

    @property
    def channels(self) -> int:
        return self._blob.channels

    @property
    def height(self) -> int:
        return self._blob.height

    @property
    def width(self) -> int:
        return self._blob.width

    def reshape(self, *shape: int) -> None:
        """Take a new shape; none at all makes a scalar. Raises `TypeError` for what is no ``int``, numpy's included."""
        self._blob.reshape(*_dimensions(shape))


class RawBlobVec:
    """A layer's bottoms or tops; indexing makes a new `Blob` each time, as in pycaffe."""

    def __init__(self, blobs: Sequence[ReferenceBlob]) -> None:
        self._blobs = list(blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    @overload
    def __getitem__(self, index: int) -> Blob: ...

    @overload
    def __getitem__(self, index: slice) -> RawBlobVec: ...

    def __getitem__(self, index: int | slice) -> Blob | RawBlobVec:
        return RawBlobVec(self._blobs[index]) if isinstance(index, slice) else Blob(_at(self._blobs, index))

    def __iter__(self) -> Iterator[Blob]:
        raise TypeError("pycaffe cannot iterate over bottoms or tops; index them, as in bottom[0]")


class BlobVec:
    """A layer's learnable blobs."""

    def __init__(self, new: Callable[[tuple[int, ...]], ReferenceBlob]) -> None:
        self._new = new
        self._blobs: list[Blob] = []

    def __len__(self) -> int:
        return len(self._blobs)

    def __getitem__(self, index: int) -> Blob:
        blob: Blob = _at(self._blobs, index)
        return blob

    def __iter__(self) -> Iterator[Blob]:
        return iter(self._blobs)

    def add_blob(self, *shape: int) -> None:
        """Make one more learnable blob, all zeros."""
        self._blobs.append(Blob(self._new(_dimensions(shape))))


class Layer:
    """``caffe.Layer``: ``param_str``, ``phase`` and ``blobs`` are there once ``setup`` is called."""

    type = "Python"
    param_str: str
    phase: int
    blobs: BlobVec

    def __init__(self, param: object) -> None:
        """``param`` is whatever Caffe gives a layer it makes; it is of no use in Python."""


def _ignored(*_: object) -> None:
    """Chooses a device or a seed: of no effect here."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"the stand-in for caffe has no {name}: it has {', '.join(self.__all__)}")


def _module() -> ModuleType:
    module = _StandIn("caffe", "What a Python layer needs of pycaffe.")
    names: dict[str, Any] = {"Layer": Layer, "TRAIN": TRAIN, "TEST": TEST}
    names |= dict.fromkeys(("set_device", "set_mode_cpu", "set_mode_gpu", "set_random_seed"), _ignored)
    module.__dict__.update(names, __all__=list(names))
    return module


_STAND_IN = _module()


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Within the block ``import caffe`` finds the stand-in and ``folder`` is searched for modules first.

    A caffe that was imported before is back afterwards, and one that is installed can be imported again.
    """
    names = [name for name in sys.modules if name.partition(".")[0] == "caffe"] if "caffe" in sys.modules else []
    real = {name: sys.modules.pop(name) for name in names}
    sys.modules["caffe"] = _STAND_IN
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the code under test may have taken it away itself
            sys.path.remove(str(folder))
        sys.modules.pop("caffe", None)
        sys.modules.update(real)


def _at(items: Sequence[Any], index: int) -> Any:
    if not -len(items) <= index < len(items):
        raise IndexError("Index out of range")
    return items[index]


def _dimensions(shape: Sequence[Any]) -> tuple[int, ...]:
    for dim in shape:
        if not isinstance(dim, int):
            raise TypeError(f"pycaffe takes dimensions of type int alone, and {dim!r} is a {type(dim).__name__}")
    return tuple(shape)
