"""Reader: the report in a file, every line held against its schema; a torn last line is passed over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.contract.errors import NotWhole, UsageError, one_line
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.paths import content_of
from conformance.contract.verdict import Element, Level, Status, Verdict
from conformance.record.report import READABLE, Judged, Report
from conformance.record.shape import refuse_misshapen, refuse_misshapen_end, refuse_misshapen_verdict
from conformance.record.whole import refuse_cut

__all__ = ["judged_from_json", "read_report", "verdict_from_json"]

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_report(path: Path) -> Report:
    """The report in a file; a torn last line is what a killed run leaves, and is passed over.

    Raises `UsageError` where the file is no report, with the line at fault, and `NotWhole` where lines of it are gone.
    """
    text = content_of(path, "the report").decode("utf-8", "replace")
    found = _Reading()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            with decoding():
                found.take(json_of(line))
        except NotWhole as error:
            raise NotWhole(f"{path}, line {number}: {error}: lines are missing or were put in") from None
        except Malformed as error:
            if number == len(lines) and found.header is not None and found.footer is None:
                break  # not ended by a newline: the run was stopped while it wrote this
            raise UsageError(f"{path}, line {number}: not a line of a report: {one_line(str(error), 120)}") from None
    if found.header is None:
        raise UsageError(f"{path} is no report: it has no header")
    report = Report(
        found.header,
        tuple(found.judged),
        tuple(found.harness_errors),
        found.footer,
        tuple(found.evidence),
        tuple(found.ended),
    )
    refuse_cut(report, path)
    return report


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
            raise NotWhole("a report has one header, its first line")
        if self.footer is not None:
            raise NotWhole("a report has one footer, its last line")
        if kind == "header":
            if line["schema"] not in READABLE:
                known = " and ".join(map(str, READABLE))
                raise ValueError(f"its schema is {line['schema']!r}, and this version reads {known}")
            refuse_misshapen(line)
            self.header = line
        elif kind == "verdict":
            refuse_misshapen_verdict(line)
            self.judged.append(judged_from_json(line))
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


def judged_from_json(line: Mapping[str, Any]) -> Judged:
    """The verdict of a line and its place. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    return Judged(line["family"], line["stem"], verdict_from_json(line), line.get("since") or "1")


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
        best=_float(line.get("best")),
        reason=line.get("reason") or "",
        layer=line.get("layer"),
        element=None if element is None else _element_from_json(element),
        seconds=line.get("seconds"),
        detail=line.get("detail", {}),
        limit=line.get("limit") or "",
    )


def _element_from_json(value: Mapping[str, Any]) -> Element:
    got, want, bound = (_float(value[name]) for name in ("got", "want", "bound"))
    if got is None or want is None or bound is None:
        raise ValueError("an element holds got, want and bound")
    return Element(value["blob"], tuple(value["index"]), got, want, bound)


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS[value]
    return None if value is None else float(value)
