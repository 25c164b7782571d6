"""Arrays: an .npz as people save it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conformance.contract.errors import UsageError, one_line

if TYPE_CHECKING:
    from conformance.contract.case import Array

__all__ = ["read_arrays"]


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by name, float64. Raises `UsageError` for a file that is none, or holds anything else."""
    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise UsageError(f"{path} holds one array without a name: save it with numpy.savez(path, x=...)")
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, KeyError) as error:
        raise UsageError(f"{path} is no .npz of plain arrays: {one_line(str(error), 120)}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise UsageError(f"{path}: {name} holds {array.dtype} where numbers belong")
    return {name: array.astype(np.float64) for name, array in arrays.items()}
