"""Foreign layer: a class with ``forward`` and ``backward``, in the place of a layer of the reference's net.

Shapes and parameters stay the reference's; the numbers come from outside, rounded to the net's type where they cross.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import TYPES
from conformance.contract.implementation import Crash, ImplementationError, ProtocolError, Unsupported
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer
from refimpl.layers import REGISTRY

__all__ = ["foreign_code", "layer_around"]

_FRAMES = -4
"""Frames of a traceback that are kept: the innermost ones are the implementation's."""


def layer_around(kind: str, make: Callable[..., Any]) -> type[Layer]:
    """A layer class of type ``kind`` whose ``forward`` and ``backward`` are those of what ``make`` returns.

    Raises `ValueError` for a type that the reference lacks.
    """
    if kind not in REGISTRY:
        raise ValueError(f"{kind!r} is no layer type that the suite knows: {', '.join(sorted(REGISTRY))}")
    return type(f"Foreign{kind}", (_Foreign, REGISTRY[kind]), {"make": staticmethod(make)})


@contextmanager
def foreign_code() -> Iterator[None]:
    """What the block raises, in the suite's words.

    ValueError and AssertionError are refusals (`LayerError`), NotImplementedError is `Unsupported`, anything else is a
    `Crash`.
    """
    try:
        yield
    except (ImplementationError, LayerError):
        raise
    except (ValueError, AssertionError) as error:
        raise LayerError(str(error) or type(error).__name__) from error
    except NotImplementedError as error:
        raise Unsupported(str(error) or "it raised NotImplementedError") from error
    except (Exception, SystemExit) as error:
        raise Crash(f"it raised {type(error).__name__}: {error}", traceback.format_exc(_FRAMES)) from error


class _Foreign(Layer):
    make: ClassVar[Callable[..., Any]]

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        if self.blobs:
            raise Unsupported(f"{self.type} has learnable parameters, which such a class cannot give a gradient")
        with foreign_code():
            self._inner = self.make(self.param) if _takes_argument(self.make) else self.make()

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        with foreign_code():
            tops = _sequence(self._inner.forward(_values(bottom)))
        if len(tops) < len(top):
            raise ProtocolError(f"{self.type}.forward returned {len(tops)} top(s) for a layer with {len(top)}")
        for i, (blob, value) in enumerate(zip(top, tops, strict=False)):
            _store(blob.data, value, f"{self.type}.forward returned for top {i}")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        with foreign_code():
            weights = [_frozen(blob.diff) for blob in top]
            gradients = _sequence(self._inner.backward(weights, _values(bottom), tuple(propagate_down)))
        for i, (blob, wanted) in enumerate(zip(bottom, propagate_down, strict=True)):
            if wanted:
                gradient = gradients[i] if i < len(gradients) else None
                _store(blob.diff, gradient, f"{self.type}.backward returned for bottom {i}")


def _takes_argument(make: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(make).parameters)
    except (TypeError, ValueError):  # built in, or from C: nothing is known of it
        return False


def _values(blobs: Sequence[Blob]) -> list[Array]:
    return [_frozen(blob.data) for blob in blobs]


def _frozen(array: Array) -> Array:
    """A copy that the implementation may keep and cannot write to."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def _sequence(answer: Any) -> Sequence[Any]:
    return answer if isinstance(answer, (tuple, list)) else (answer,)


def _store(into: Array, value: Any, what: str) -> None:
    """Round a value to the blob's type. Raises `ProtocolError` where it is no array of numbers of that many entries."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise ProtocolError(f"what {what} is no array: {error}") from error
    if array.dtype.kind not in "fiub" and array.dtype not in [each.numpy for each in TYPES.values()]:
        kind = "nothing" if value is None else f"an array of {array.dtype}"
        raise ProtocolError(f"{what} {kind} where numbers of shape {into.shape} belong")
    if array.size != into.size:
        raise ProtocolError(f"{what} shape {array.shape} where {into.shape} belongs")
    with np.errstate(all="ignore"):
        into[...] = array.reshape(into.shape)
