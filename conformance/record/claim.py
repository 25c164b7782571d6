"""Claim: a file that one process at a time writes; the system ends a claim with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from conformance.contract.errors import UsageError
from conformance.contract.paths import failed

__all__ = ["Claim"]


class Claim:
    """Held from when it is made until `end`. The file is made where it is not there, and gone again where nothing was
    written to it.

    Raises `UsageError` where another process holds it, `Stopped` where the system does not open it. A file system that
    has no locks grants every claim.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._is_new = path, not path.exists()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise failed(f"cannot write the report {path}", error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            told = "another run is writing it; wait for its end, or write another one"
            raise UsageError(f"cannot write the report {path}: {told}") from None
        except OSError:
            pass

    def end(self) -> None:
        """Lets others have the file."""
        if self._file < 0:
            return
        mine = os.fstat(self._file)
        with suppress(OSError):
            if self._is_new and not mine.st_size and os.path.samestat(mine, self._path.stat()):
                self._path.unlink()
        os.close(self._file)
        self._file = -1
