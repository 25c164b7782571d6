"""Paths that a person names: what is read from them, what is written to them, and what the system says where it fails.

A file is read whole, within a bound, and written whole or not at all; a pipe, a socket or a device holds no file.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from conformance.contract.errors import Stopped, UsageError
from conformance.contract.exit_codes import ExitCode

__all__ = ["LARGEST", "content_of", "failed", "put", "refuse_same", "refuse_special", "system_told", "text_of"]

LARGEST = 1 << 30
"""Bytes of a file that are read."""

_CALLERS = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EROFS,
    errno.ENXIO,
    errno.EEXIST,
    errno.EINVAL,
}
"""What a person can set right by naming another path; the rest is the system's failure."""

_IN_PLACE = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV}
"""Why a file that may be written to may not be replaced: its folder is somebody else's, or it is mounted by itself."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def failed(doing: str, error: OSError) -> UsageError | Stopped:
    """What to raise where ``doing`` something failed: a mistake of the caller's, or a system that does not do its part,
    in the system's words."""
    told = f"{doing}: {error.strerror or error}"
    if error.errno in _CALLERS:
        return UsageError(told)
    return Stopped(ExitCode.HARNESS_BROKEN, told)


def system_told(error: OSError) -> str:
    """What the system says of what it did not do, and of which path."""
    place = f": {error.filename}" if error.filename is not None else ""
    return f"the system failed: {error.strerror or error}{place}"


def content_of(path: Path, what: str = "", largest: int = LARGEST) -> bytes:
    """The bytes of the file at ``path``, which is to be ``what``.

    Raises `UsageError` where there is no regular file or it is larger than ``largest`` bytes, `Stopped` where the
    system does not read it.
    """
    named = f"{what} {path}".strip()
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            kind = _kind(os.fstat(file.fileno()).st_mode)
            if kind:
                raise UsageError(f"cannot read {named}: it is {kind}, and a file is read")
            content = file.read(largest + 1)
    except ValueError:  # a null in the path
        raise UsageError(f"cannot read {named}: no path") from None
    except OSError as error:
        raise failed(f"cannot read {named}", error) from None
    if len(content) > largest:
        raise UsageError(f"cannot read {named}: it has more than {largest} bytes")
    return content


def text_of(path: Path, what: str = "", largest: int = LARGEST) -> str:
    """The text of a file in UTF-8. Raises as `content_of` does, and `UsageError` for bytes that are no UTF-8."""
    try:
        return content_of(path, what, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}") from None


def refuse_special(path: Path, what: str) -> None:
    """Raises `UsageError` where ``path`` exists and is no regular file."""
    with suppress(OSError, ValueError):
        kind = _kind(os.stat(path).st_mode)
        if kind:
            raise UsageError(f"cannot write {what} {path}: it is {kind}, and a file is needed")


def refuse_same(path: Path | None, *others: Path | None) -> None:
    """Raises `UsageError` where ``path``, which is to be written, is one of the ``others``, which are read."""
    for other in others:
        with suppress(OSError, ValueError):
            if path is not None and other is not None and os.path.samefile(path, other):
                raise UsageError(f"{path} is read from and would be written over: choose another file to write to")


def put(path: Path, content: bytes | str, what: str = "") -> None:
    """Write a file: whole or not at all, so that what was there stays where the system fails.

    A pipe that is read and a device are written to as they are. Raises as `failed` says.
    """
    whole = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    named = f"cannot write {what} {path}" if what else f"cannot write {path}"
    try:
        if path.exists() and not path.is_file():
            _write_through(path, whole)
        else:
            _replace(Path(os.path.realpath(path)), whole)
    except ValueError:
        raise UsageError(f"{named}: no path") from None
    except OSError as error:
        raise failed(named, error) from None


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}")
    there = path.exists()
    if there and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    try:
        with open(beside, "wb") as file:
            if there:
                os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
            file.write(content)
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        if not (there and isinstance(error, OSError) and error.errno in _IN_PLACE):
            raise
        path.write_bytes(content)


def _write_through(path: Path, content: bytes) -> None:
    with open(path, "wb", buffering=0, opener=_without_waiting) as file:
        os.set_blocking(file.fileno(), True)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) or 0 :]


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe that nobody has at its other end without waiting for somebody."""
    return os.open(path, (flags & ~(os.O_CREAT | os.O_TRUNC)) | getattr(os, "O_NONBLOCK", 0), 0o666)


def _kind(mode: int) -> str:
    """What a path is, in words; empty for a regular file."""
    return next((word for test, word in _KINDS if test(mode)), "" if stat.S_ISREG(mode) else "no file")
