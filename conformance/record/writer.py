"""Writer: a report's lines as the run goes: a header, the verdicts of every item and its end, a footer."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from conformance.contract.errors import UsageError
from conformance.contract.paths import failed, put, refuse_special
from conformance.contract.verdict import Element
from conformance.record.claim import Claim
from conformance.record.report import Judged, Report

__all__ = ["ReportWriter", "plain", "verdict_to_json", "write_report"]

_LONGEST = 20_000
"""Characters of a string that a report keeps."""


class ReportWriter:
    """Writes a report line by line, each at once, so that a killed run loses nothing.

    The file is emptied at the first line: a run that never starts leaves an earlier report as it was, and nobody else
    can write it meanwhile. Lines that the system does not take whole are taken back, so that what the file holds can be
    read and gone on from.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` where the file could not be made, is none, or somebody is writing it."""
        refuse_special(path, "the report")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UsageError(f"cannot write the report {path}: no such folder, or not writable")
        self.path = path
        self._file: IO[bytes] | None = None
        self._claim = Claim(path)

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Lines of any kind, together. Raises `UsageError` where the file cannot be made, `Stopped` where the system
        does not take them."""
        if self._file is None:
            self._file = self._opened(self.path)
        self._append(self._file, b"".join(map(_encoded, lines)))

    def begin_with(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Put ``lines`` in place of what the file holds, at once, and go on after them. Raises as `write` does."""
        beside = self.path.with_name(self.path.name + ".new")
        refuse_special(beside, "the report")
        self._file = self._opened(beside)
        try:
            self.write(*lines)
            claim = Claim(beside)
            os.replace(beside, self.path)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(beside)
            if isinstance(error, OSError):
                raise self._failed(error) from None
            raise
        self._claim.end()
        self._claim = claim

    def _append(self, file: IO[bytes], content: bytes) -> None:
        before, rest = file.tell(), memoryview(content)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError as error:
            with suppress(OSError):
                file.truncate(before)
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Exception:
        return failed(f"cannot write the report {self.path}", error)

    def _opened(self, path: Path) -> IO[bytes]:
        try:
            return open(path, "wb", buffering=0)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # every line was written when it came
                self._file.close()
        self._claim.end()

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _encoded(line: Mapping[str, Any]) -> bytes:
    """A line as bytes, numbers that JSON lacks by their names."""
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(plain(line), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def write_report(path: Path, report: Report) -> None:
    """Write a report's lines, whole or not at all. Raises as `ReportWriter` and `put` do."""
    lines = [report.header, *map(verdict_to_json, report.judged), *report.evidence, *report.harness_errors]
    lines += [*report.ended, *([report.footer] if report.footer else [])]
    with ReportWriter(path):
        put(path, b"".join(map(_encoded, lines)), "the report")


def verdict_to_json(judged: Judged) -> dict[str, Any]:
    """A verdict's line; what is empty is left out."""
    verdict = judged.verdict
    line: dict[str, Any] = {
        "kind": "verdict",
        "check": verdict.check,
        "family": judged.family,
        "stem": judged.stem,
        "requirement": verdict.requirement,
        "dtype": verdict.dtype,
        "status": verdict.status.value,
        "level": verdict.level.value,
    }
    optional: dict[str, Any] = {
        "side": verdict.side,
        "headroom": _number(verdict.headroom),
        "best": _number(verdict.best),
        "reason": verdict.reason or None,
        "layer": verdict.layer,
        "element": _element_to_json(verdict.element),
        "limit": verdict.limit or None,
        "since": None if judged.since == "1" else judged.since,
        "seconds": None if verdict.seconds is None else round(verdict.seconds, 6),
        "detail": dict(verdict.detail) or None,
    }
    whole: dict[str, Any] = plain(line | {name: value for name, value in optional.items() if value is not None})
    return whole


def _element_to_json(element: Element | None) -> dict[str, Any] | None:
    if element is None:
        return None
    numbers = {"got": element.got, "want": element.want, "bound": element.bound}
    return {"blob": element.blob, "index": [int(i) for i in element.index]} | {
        k: _number(v) for k, v in numbers.items()
    }


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it; an implementation may put anything into its description or a verdict's details.

    Numbers that are not finite become their names, long strings lose their middle, and what is no JSON becomes its
    text.
    """
    if isinstance(value, Mapping):
        return {_short(str(name)): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return _number(value)
    return _short(value if isinstance(value, str) else str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return None if value is None else float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
