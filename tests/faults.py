"""Faults: a system that does not do its part, at any place where the suite asks it to: ``python -m tests.faults``.

Every place in the suite's code that opens, reads, writes, renames, makes or starts something is a site. A run is
watched for its sites; then it is done again and again, with one call of one site failed each time: the first, one in
the middle and the last. Whatever fails, the run ends with a code that says so, in the system's words, and with no
traceback; the report that it leaves can be read, holds every verdict that it held before, and no verdict that the
undisturbed run does not give; nothing that it started goes on; and the run that goes on from it ends as the undisturbed
one did.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from conformance.cli.main import main
from conformance.record.reader import read_report

__all__ = ["ERRORS", "FEW", "Fault", "Faults", "Trial", "points", "trial", "watched"]

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(str(ROOT / name) + os.sep for name in ("conformance", "refimpl"))

ERRORS = {
    "open": (errno.EMFILE, errno.EIO),
    "read": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EIO, errno.EFBIG),
    "flush": (errno.ENOSPC,),
    "truncate": (errno.EIO,),
    "close": (errno.EIO,),
    "rename": (errno.EIO, errno.ENOSPC),
    "unlink": (errno.EIO,),
    "folder": (errno.ENOSPC, errno.EMFILE),
    "start": (errno.EMFILE, errno.ENOMEM),
}
"""What each kind of call may fail with."""

FEW = ("--layer", "euclidean_loss", "--family", "golden", "-k", "grid-00 or loss_weight or unscaled")
"""Some 50 items."""

_GRACE = 20.0
"""Seconds that a process has whose standard input has ended: it may be at its imports."""

Site = tuple[str, str, int]
"""What is asked of the system, and the file and line that ask."""


_STARTS = subprocess.Popen._execute_child.__code__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Fault:
    """The call of a site that fails, by its number from 1, and how; ``lasting``: so do all after it."""

    site: Site
    number: int
    error: int
    lasting: bool = False

    def __str__(self) -> str:
        kind, file, line = self.site
        return (
            f"{kind} at {file}:{line}, call {self.number}{' and later' * self.lasting}: {errno.errorcode[self.error]}"
        )


@dataclass
class Faults:
    """Counts the calls of every site while it is on, and fails one."""

    fault: Fault | None = None
    calls: Counter[Site] = field(default_factory=Counter)
    hit: bool = False

    @contextmanager
    def on(self) -> Iterator[Faults]:
        with ExitStack() as stack:
            opens = self._file(builtins.open)
            stack.enter_context(mock.patch.object(builtins, "open", opens))
            stack.enter_context(mock.patch.object(io, "open", opens))
            for module, name, kind in (
                (os, "write", "write"),
                (os, "read", "read"),
                (os, "replace", "rename"),
                (os, "rename", "rename"),
                (os, "mkdir", "folder"),
                (os, "unlink", "unlink"),
                (tempfile, "mkdtemp", "folder"),
                (subprocess.Popen, "__init__", "start"),
            ):
                stack.enter_context(mock.patch.object(module, name, self._call(kind, getattr(module, name))))
            yield self

    def ask(self, kind: str) -> int:
        """The error that a call from here fails with, or 0."""
        where = _site()
        if where is None:
            return 0
        site = (kind, *where)
        self.calls[site] += 1
        fault = self.fault
        if fault is None or fault.site != site:
            return 0
        number = self.calls[site]
        if number != fault.number and not (fault.lasting and number > fault.number):
            return 0
        self.hit = True
        return fault.error

    def _call(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **named: Any) -> Any:
            if failed := self.ask(kind):
                raise OSError(failed, os.strerror(failed))
            return function(*arguments, **named)

        return asked

    def _file(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def opened(*arguments: Any, **named: Any) -> Any:
            if _site() is None:
                return function(*arguments, **named)
            if failed := self.ask("open"):
                raise OSError(failed, os.strerror(failed), str(arguments[0]))
            return _File(function(*arguments, **named), self)

        return opened


class _File:
    """A file whose calls may fail; a write that fails takes half of what it was given first."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, content: Any) -> Any:
        if failed := self._faults.ask("write"):
            self._file.write(content[: len(content) // 2])
            raise OSError(failed, os.strerror(failed))
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        return self._faults._call(name, found) if name in ("read", "flush", "truncate", "readline") else found

    def close(self) -> None:
        failed = self._faults.ask("close")
        self._file.close()
        if failed:
            raise OSError(failed, os.strerror(failed))

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def _site() -> tuple[str, int] | None:
    """The line of the suite that asks for this call; None where nobody of it does, or Popen on its way to a command,
    which leaves its child there where it cannot read how that went: a start fails as a whole."""
    frame = sys._getframe(1)
    for _ in range(16):
        if frame is None or frame.f_code is _STARTS:
            return None
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return name.removeprefix(f"{ROOT}{os.sep}"), frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


@dataclass(frozen=True)
class Trial:
    """How a run went: its exit code, what it printed, and the lines of its report."""

    code: int
    out: str
    err: str
    lines: tuple[str, ...]
    faults: Faults

    @property
    def verdicts(self) -> Counter[tuple[str, ...]]:
        return _verdicts(self.lines)


def _verdicts(lines: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        (line["check"], line["requirement"], line["dtype"], line["status"])
        for line in map(json.loads, lines)
        if line["kind"] == "verdict"
    )


def watched(path: Path, arguments: Sequence[str], fault: Fault | None = None) -> Trial:
    """A run in this process, with its report at ``path``, and one fault if there is one."""
    out, err, faults = io.StringIO(), io.StringIO(), Faults(fault)
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with faults.on():
                main(["run", *arguments, "--report", str(path)])
        except SystemExit as ended:
            code = ended.code
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return Trial(int(code or 0), out.getvalue(), err.getvalue(), tuple(lines), faults)


def points(calls: Counter[Site], every: bool = True) -> Iterator[Fault]:
    """Of each site the first call, one in the middle and the last; of each kind of call every error, or the first."""
    for site, count in sorted(calls.items()):
        for number in sorted({1, (count + 1) // 2, count}):
            for error in ERRORS.get(site[0], (errno.EIO,))[: None if every else 1]:
                yield Fault(site, number, error)
                if every and site[0] == "write" and number == 1:
                    yield Fault(site, number, error, lasting=True)


def trial(folder: Path, arguments: Sequence[str], undisturbed: Trial, fault: Fault, before: Sequence[str]) -> list[str]:
    """What is wrong with a run that goes on from a report of the lines ``before`` and meets a fault."""
    path = folder / "report.jsonl"
    path.write_text("".join(f"{line}\n" for line in before), "utf-8")
    children = set(psutil.Process().children(recursive=True))
    found = watched(path, ["--resume", *arguments], fault)
    words = os.strerror(fault.error)
    wrong: list[str] = []
    if not found.faults.hit:
        return []  # it took another way, and never came there
    if "Traceback" in found.err + found.out or "bug of lossconf" in found.err + found.out:
        wrong.append("a traceback, or taken for a bug")
    if found.code != undisturbed.code and (found.code not in (5, 6) or words not in found.err + found.out):
        wrong.append(f"exit code {found.code}, and not in the system's words: {found.err[-300:]!r}")
    if not set(before) <= set(found.lines):
        wrong.append("lines of the report are lost")
    try:
        if found.lines:
            read_report(path)
        strange = found.verdicts - undisturbed.verdicts
        if strange:
            wrong.append(f"verdicts that nobody earned: {list(strange)[:2]}")
    except Exception as error:
        wrong.append(f"the report cannot be read: {error}")
    _, left = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - children, timeout=_GRACE)
    if left:
        wrong.append(f"left running: {left}")
        for each in left:
            each.kill()
    if found.code != undisturbed.code and not wrong:
        if not (found.lines and read_report(path).complete):
            found = watched(path, ["--resume", *arguments])
            if found.code != undisturbed.code:
                wrong.append(f"the run that goes on ends with {found.code}: {found.err[-200:]!r}")
        if found.verdicts != undisturbed.verdicts:
            wrong.append("the run that goes on has other verdicts")
    return wrong


def _run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", action="store_true", help="every error of each kind of call, not the first alone")
    parser.add_argument("arguments", nargs="*", default=["reference", "-j", "0", *FEW])
    options = parser.parse_args()
    total = 0
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = watched(folder / "whole.jsonl", options.arguments)
        before = whole.lines[: _items(whole.lines, 10)]
        (folder / "report.jsonl").write_text("".join(f"{line}\n" for line in before))
        half = watched(folder / "report.jsonl", ["--resume", *options.arguments])
        print(
            f"{len(half.faults.calls)} sites, {sum(half.faults.calls.values())} calls; exit code {whole.code}",
            flush=True,
        )
        for fault in points(half.faults.calls, options.every):
            total += 1
            wrong = trial(folder, options.arguments, whole, fault, before)
            failures += [f"{fault}: {each}" for each in wrong]
            for each in wrong:
                print(f"{fault}: {each}", flush=True)
    print(f"{total} faults, {len(failures)} of them with something wrong")
    sys.exit(bool(failures))


def _items(lines: Sequence[str], count: int) -> int:
    """How many lines of a report the header and its first items are."""
    ends = [i for i, line in enumerate(lines, 1) if line.startswith('{"kind":"end"')]
    return ends[count - 1] if len(ends) >= count else ends[-1]


if __name__ == "__main__":
    _run()
