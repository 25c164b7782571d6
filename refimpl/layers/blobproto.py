"""BlobProto: the binary protobuf message that holds an array (``caffe.proto`` BlobProto, ``blob.cpp`` FromProto)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import LayerError

__all__ = ["read_blob", "read_blob_file"]

_LEGACY = {1: "num", 2: "channels", 3: "height", 4: "width"}
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8
_SHAPE_DIM = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_blob_file(name: str, files: Mapping[str, bytes]) -> NDArray[np.float64]:
    """The array of the BlobProto file ``name``, which is looked up in ``files`` first, then on disk.

    Raises `LayerError` where there is no such file, or no BlobProto in it.
    """
    if name in files:
        content = files[name]
    else:
        try:
            content = Path(name).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LayerError(
                f"cannot read the file {name!r}: {reason}", "check source; it is relative to the working directory"
            ) from error
    try:
        return read_blob(content)
    except ValueError as error:
        raise LayerError(
            f"{name!r} is not a BlobProto: {error}", "write one with caffe.io.array_to_blobproto"
        ) from error


def read_blob(content: bytes) -> NDArray[np.float64]:
    """The data of a serialised BlobProto, floats widened.

    The shape is num, channels, height and width where one of them is set, else ``shape``; ``double_data`` wins over
    ``data``. Raises `ValueError` where the bytes are no such message.
    """
    legacy: dict[int, int] = {}
    shape: list[int] = []
    singles, doubles = bytearray(), bytearray()
    for number, kind, value in _fields(content):
        if number in _LEGACY:
            legacy[number] = _signed(_integer(number, kind, value))
        elif number == _SHAPE:
            shape += _dimensions(_bytes(number, kind, value))
        elif number == _DATA:
            singles += _packed(number, kind, value, _FIXED32)
        elif number == _DOUBLE_DATA:
            doubles += _packed(number, kind, value, _FIXED64)
    dims = [legacy.get(number, 0) for number in _LEGACY] if legacy else shape
    values = (
        np.frombuffer(bytes(doubles), "<f8") if doubles else np.frombuffer(bytes(singles), "<f4").astype(np.float64)
    )
    if min(dims, default=0) < 0 or math.prod(dims) != values.size:
        raise ValueError(f"{values.size} value(s) for the shape {tuple(dims)}")
    return values.astype(np.float64).reshape(dims)


def _dimensions(content: bytes) -> list[int]:
    dims = []
    for number, kind, value in _fields(content):
        if number != _SHAPE_DIM:
            continue
        if kind == _BYTES:
            packed, at = _bytes(number, kind, value), 0
            while at < len(packed):
                dim, at = _varint(packed, at)
                dims.append(_signed(dim))
        else:
            dims.append(_signed(_integer(number, kind, value)))
    return dims


def _fields(content: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Field number, wire type and value (an integer, or the bytes of anything else) of every field of a message."""
    at = 0
    while at < len(content):
        start = at
        key, at = _varint(content, start)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"byte {start} starts no field")
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield number, kind, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if size is None:
            size, at = _varint(content, at)
        if at + size > len(content):
            raise ValueError(f"field {number} ends {at + size - len(content)} byte(s) after the file does")
        yield number, kind, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A base-128 number that starts at ``at``, and where it ends."""
    value = 0
    for length, byte in enumerate(content[at : at + 10]):
        value |= (byte & 0x7F) << 7 * length
        if byte < 0x80:
            return value, at + length + 1
    raise ValueError(f"a number at byte {at} does not end")


def _signed(value: int) -> int:
    """A varint as the signed 64-bit integer that it stands for."""
    return int(struct.unpack("<q", struct.pack("<Q", value & (1 << 64) - 1))[0])


def _integer(number: int, kind: int, value: int | bytes) -> int:
    if kind != _VARINT or not isinstance(value, int):
        raise ValueError(f"field {number} should be an integer and has wire type {kind}")
    return value


def _bytes(number: int, kind: int, value: int | bytes) -> bytes:
    if kind != _BYTES or not isinstance(value, bytes):
        raise ValueError(f"field {number} should be length-delimited and has wire type {kind}")
    return value


def _packed(number: int, kind: int, value: int | bytes, single: int) -> bytes:
    """The bytes of one number, or of a packed list of them."""
    width = 4 if single == _FIXED32 else 8
    if kind not in (single, _BYTES) or not isinstance(value, bytes) or len(value) % width:
        raise ValueError(f"field {number} should hold numbers of {width} bytes and has wire type {kind}")
    return value
