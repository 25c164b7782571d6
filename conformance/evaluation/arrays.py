"""Arrays: an .npz as people save it."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, decoding
from conformance.contract.paths import LARGEST, content_of

if TYPE_CHECKING:
    from conformance.contract.case import Array

__all__ = ["read_arrays"]

_ONE = b"\x93NUMPY"

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How numpy packs arrays. Others that zipfile knows have errors of their own kinds."""


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by name, float64. Raises `UsageError` for a file that is none, or holds anything else."""
    content = content_of(path)
    if content.startswith(_ONE):
        raise UsageError(f"{path} holds one array without a name: save it with numpy.savez(path, x=...)")
    try:
        with decoding():
            return _arrays(content)
    except Malformed as error:
        raise UsageError(f"{path} is no .npz of plain arrays: {one_line(str(error), 160)}") from None


def _arrays(content: bytes) -> dict[str, Array]:
    """The members of an archive. What a member says of its size is looked at before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > LARGEST:
                raise Malformed(f"unpacked it has {size} bytes, and {LARGEST} are read")
            return {m.filename.removesuffix(".npy"): _array(archive, m) for m in archive.infolist()}
    except (EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise Malformed(str(error)) from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    if member.flag_bits & 1:
        raise Malformed(f"{member.filename} is encrypted")
    if member.compress_type not in _PACKED:
        raise Malformed(f"{member.filename} is packed in a way that numpy.savez does not use")
    with archive.open(member) as file:
        held = file.read(member.file_size)
    if not held.startswith(_ONE):
        raise Malformed(f"{member.filename} is no array")
    array: Any = np.lib.format.read_array(io.BytesIO(held), allow_pickle=False)
    if array.dtype.kind not in "fiub":
        raise Malformed(f"{member.filename} holds {array.dtype} where numbers belong")
    return np.asarray(array, np.float64)
