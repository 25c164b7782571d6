"""report.jsonl: a header, the verdicts of every item and its end as the run goes, a footer (see ``schema.json``)."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.verdict import Element, Level, Status, Verdict
from conformance.record.shape import refuse_misshapen, refuse_misshapen_end, refuse_misshapen_verdict

__all__ = [
    "SCHEMA",
    "plain",
    "Judged",
    "Report",
    "ReportWriter",
    "conforms",
    "read_report",
    "verdict_from_json",
    "verdict_to_json",
]

SCHEMA = 1
"""The version of the report's format."""

_LONGEST = 20_000
"""Characters of a string that a report keeps."""

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Judged:
    """A verdict and its place: ``family`` is the suite module, ``stem`` the layer it is about, or "net"."""

    family: str
    stem: str
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """What a report file says. Without a footer the run did not end by itself, and the report is incomplete.

    ``harness_errors`` are failures of the suite, not of the implementation: such a run says nothing. ``evidence`` are
    the cases that failed with what was answered, ``ended`` the items that ran to their end; both as they are written.
    """

    header: Mapping[str, Any]
    judged: tuple[Judged, ...] = ()
    harness_errors: tuple[Mapping[str, Any], ...] = ()
    footer: Mapping[str, Any] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    ended: tuple[Mapping[str, Any], ...] = ()

    @property
    def complete(self) -> bool:
        return self.footer is not None

    @property
    def counts(self) -> Counter[str]:
        """How many verdicts of each status."""
        return Counter(judged.verdict.status.value for judged in self.judged)


def conforms(judged: list[Verdict] | tuple[Verdict, ...]) -> bool:
    """Whether nothing that counts is broken, and something has passed: a run that judged nothing shows nothing."""
    broken = any(verdict.status.breaks and verdict.level is not Level.SHOULD for verdict in judged)
    return not broken and any(verdict.status is Status.PASSED for verdict in judged)


class ReportWriter:
    """Writes a report line by line and flushes each, so that a killed run loses nothing.

    The file is made at the first line: a run that never starts leaves an earlier report as it was.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` where the file could not be made."""
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UsageError(f"cannot write the report {path}: no such folder, or not writable")
        self.path = path
        self._file: IO[str] | None = None

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Lines of any kind, flushed together. Raises `UsageError` where the file cannot be made."""
        if self._file is None:
            self._file = self._opened(self.path)
        for line in lines:
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def begin_with(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Put ``lines`` in place of what the file holds, at once, and go on after them.

        Raises `UsageError` where the file cannot be made.
        """
        beside = self.path.with_name(self.path.name + ".new")
        self._file = self._opened(beside)
        self.write(*lines)
        os.replace(beside, self.path)

    def _opened(self, path: Path) -> IO[str]:
        try:
            return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        except OSError as error:
            raise UsageError(f"cannot write the report {path}: {error.strerror}") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_report(path: Path) -> Report:
    """The report in a file; a torn last line is what a killed run leaves, and is passed over.

    Raises `UsageError` where the file is no report, with the line at fault.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"cannot read the report {path}: {error.strerror}") from None
    found = _Reading()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.take(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if number == len(lines) and found.header is not None:
                break  # not ended by a newline: the run was stopped while it wrote this
            raise UsageError(f"{path}, line {number}: not a line of a report: {one_line(str(error), 120)}") from None
    if found.header is None:
        raise UsageError(f"{path} is no report: it has no header")
    return Report(
        found.header,
        tuple(found.judged),
        tuple(found.harness_errors),
        found.footer,
        tuple(found.evidence),
        tuple(found.ended),
    )


@dataclass
class _Reading:
    header: Mapping[str, Any] | None = None
    judged: list[Judged] = field(default_factory=list)
    harness_errors: list[Mapping[str, Any]] = field(default_factory=list)
    footer: Mapping[str, Any] | None = None
    evidence: list[Mapping[str, Any]] = field(default_factory=list)
    ended: list[Mapping[str, Any]] = field(default_factory=list)

    def take(self, line: Mapping[str, Any]) -> None:
        kind = line["kind"]
        if (kind == "header") is (self.header is not None):
            raise ValueError("a report has one header, its first line")
        if kind == "header":
            if line["schema"] != SCHEMA:
                raise ValueError(f"its schema is {line['schema']!r}, and this version reads {SCHEMA}")
            refuse_misshapen(line)
            self.header = line
        elif kind == "verdict":
            refuse_misshapen_verdict(line)
            self.judged.append(Judged(line["family"], line["stem"], verdict_from_json(line)))
        elif kind == "harness_error":
            refuse_misshapen(line)
            self.harness_errors.append(line)
        elif kind == "evidence":
            self.evidence.append(_with(line, "check", "dtype", "causes"))
        elif kind == "end":
            refuse_misshapen_end(line)
            self.ended.append(line)
        elif kind == "footer":
            refuse_misshapen(line)
            self.footer = line
        elif kind == "resumed":
            refuse_misshapen(line)
        else:
            raise ValueError(f"no line is of kind {kind!r}")


def _with(line: Mapping[str, Any], *fields: str) -> Mapping[str, Any]:
    for name in fields:
        if name not in line:
            raise ValueError(f"the field {name!r} is missing")
    return line


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
        "reason": verdict.reason or None,
        "layer": verdict.layer,
        "element": _element_to_json(verdict.element),
        "seconds": None if verdict.seconds is None else round(verdict.seconds, 6),
        "detail": dict(verdict.detail) or None,
    }
    whole: dict[str, Any] = plain(line | {name: value for name, value in optional.items() if value is not None})
    return whole


def verdict_from_json(line: Mapping[str, Any]) -> Verdict:
    """The verdict of a line. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    element = line.get("element")
    return Verdict(
        check=line["check"],
        requirement=line["requirement"],
        dtype=line["dtype"],
        status=Status(line["status"]),
        level=Level(line["level"]),
        side=line.get("side"),
        headroom=_float(line.get("headroom")),
        reason=line.get("reason") or "",
        layer=line.get("layer"),
        element=None if element is None else _element_from_json(element),
        seconds=line.get("seconds"),
        detail=line.get("detail", {}),
    )


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it; an implementation may put anything into its description or a verdict's details.

    Numbers that are not finite become their names, long strings lose their middle, and what is no JSON becomes its
    text.
    """
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return _number(value)
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _element_to_json(element: Element | None) -> dict[str, Any] | None:
    if element is None:
        return None
    numbers = {"got": element.got, "want": element.want, "bound": element.bound}
    return {"blob": element.blob, "index": [int(i) for i in element.index]} | {
        k: _number(v) for k, v in numbers.items()
    }


def _element_from_json(value: Mapping[str, Any]) -> Element:
    got, want, bound = (_float(value[name]) for name in ("got", "want", "bound"))
    if got is None or want is None or bound is None:
        raise ValueError("an element holds got, want and bound")
    return Element(value["blob"], tuple(value["index"]), got, want, bound)


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return None if value is None else float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS[value]
    return None if value is None else float(value)
