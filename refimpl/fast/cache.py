"""Compiled kernels on disk, found by what they were made from; so an entry can be missing, but never stale.

Numba's own cache asks only whether the file of the kernel itself changed, not the files it calls into, and keeps one
index per kernel that processes may overwrite for each other. Here every entry is one file. Its folder is named by a
hash of all sources of the CPU path, of the versions of Python, Numba, llvmlite and NumPy, and of the ``NUMBA_*``
settings; its name by the kernel, the types of its arguments, and the processor it was compiled for.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

__all__ = ["KernelCache", "cache_root", "source_key"]

PACKAGE = Path(__file__).parent
UNRELATED = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_ENABLE_CUDASIM"}
STALE_DAYS = 30
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def source_key(package: Path = PACKAGE) -> str:
    """Names the folder of everything compiled from these sources with these versions and settings."""
    digest = hashlib.sha256()
    types = package.parent / "dtypes.py"  # the one module outside that kernels take something from
    for path in sorted([*package.glob("*.py"), *package.glob("cpu/*.py"), types]):
        digest.update(f"\0{path.relative_to(package.parent)}\0".encode())
        digest.update(path.read_bytes())
    versions = (sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__)
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in UNRELATED)
    digest.update(repr((versions, settings)).encode())
    return digest.hexdigest()[:20]


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    yield Path(home)
    yield PACKAGE / "__pycache__"


def cache_root() -> Path | None:
    """The first folder that the user can write to, and nobody else but root: ``NUMBA_CACHE_DIR``, the user's cache, the
    package's; or None. What lies in it is run.
    """
    for candidate in _candidates():
        root = candidate / "caffe-loss-conformance"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                if _claimed(root):
                    return root
        except OSError:
            continue
    return None


def _claimed(folder: Path) -> bool:
    """Whether nobody but the user and root writes to a folder, once a folder of the user's own is shut to others."""
    info = folder.stat()
    if hasattr(os, "geteuid") and info.st_uid == os.geteuid() and info.st_mode & _OTHERS:
        folder.chmod(stat.S_IMODE(info.st_mode) & ~_OTHERS)
    return _trusted(folder.stat())


def _trusted(info: os.stat_result) -> bool:
    """Whether a file or folder is the user's or root's, and nobody else may write to it."""
    return not hasattr(os, "geteuid") or (info.st_uid in (os.geteuid(), 0) and not info.st_mode & _OTHERS)


class _Folder:
    """Where entries of these sources live; found on first use, so that importing touches no disk but the sources."""

    def __init__(self) -> None:
        self.key = source_key()
        self._path: Path | None = None
        self._searched = False

    def path(self) -> Path | None:
        """The folder, made if need be; None where nothing can be written."""
        if not self._searched:
            root = cache_root()
            if root is not None:
                path = root / self.key
                if not path.exists():
                    _forget_old(root)
                self._path = path if not path.exists() or _claimed(path) else None
            self._searched = True
        return self._path

    def still_ours(self) -> bool:
        """Whether the sources are what they were at import; code compiled from edited ones must not be kept."""
        return source_key() == self.key


def _forget_old(root: Path) -> None:
    """Drop the folders of sources that nothing was compiled from for a month."""
    horizon = time.time() - STALE_DAYS * 86400
    for folder in root.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < horizon:
            shutil.rmtree(folder, ignore_errors=True)


_folder = _Folder()


class KernelCache(_Cache):  # type: ignore[misc]
    """Numba's cache interface for one kernel. An entry that cannot be read or written is as good as none. A kernel
    whose sources are not this package's, which names the folder, has none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._enabled = self._known = function.__module__.startswith(f"{__package__}.")

    @property
    def cache_path(self) -> str | None:
        path = _folder.path()
        return None if path is None else str(path)

    def enable(self) -> None:
        self._enabled = self._known

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Forget every entry of this kernel."""
        path = _folder.path()
        for entry in path.glob(f"{self._name}-*") if path is not None else ():
            entry.unlink(missing_ok=True)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        target_context.refresh()
        entry = self._entry(sig, target_context.codegen())
        if entry is None:
            return None
        try:
            with open(entry, "rb") as file:
                if not _trusted(os.fstat(file.fileno())):
                    return None
                digest, data = file.read().split(b"\n", 1)
        except (OSError, ValueError):
            return None
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(data))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function; its file appears whole or not at all."""
        entry = self._entry(sig, data.codegen)
        if entry is None or data.library.has_dynamic_globals or not _folder.still_ours():
            return
        payload = dumps(data._reduce())
        try:
            entry.parent.mkdir(0o755, exist_ok=True)
            if not _claimed(entry.parent):
                return
            with tempfile.NamedTemporaryFile(dir=entry.parent, prefix=".", delete=False) as file:
                file.write(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
            os.replace(file.name, entry)
        except OSError:
            return

    def _entry(self, sig: Any, codegen: Any) -> Path | None:
        path = _folder.path() if self._enabled else None
        if path is None:
            return None
        digest = hashlib.sha256(repr((sig, codegen.magic_tuple())).encode()).hexdigest()[:20]
        return path / f"{self._name}-{digest}"
