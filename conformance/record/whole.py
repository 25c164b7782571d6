"""Whole: whether a report holds what its header and its footer say: what lacks a line shows nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.contract.errors import NotWhole, UsageError
from conformance.contract.version import VERSION
from conformance.record.conclusion import Conclusion
from conformance.record.report import Report

__all__ = ["digest_of_items", "footer_of", "lines_of", "refuse_cut", "refuse_quick"]


def digest_of_items(names: Iterable[str]) -> str:
    """What a list of items, in whatever order they ran, is told apart by."""
    return hashlib.sha256("\n".join(sorted(names)).encode("utf-8", "backslashreplace")).hexdigest()


def lines_of(report: Report) -> dict[str, Any]:
    """The counts of a report's lines, as its footer has them."""
    return {
        "verdicts": len(report.judged),
        "counts": dict(sorted(report.counts.items())),
        "harness_errors": len(report.harness_errors),
        "evidence": len(report.evidence),
        "ended": len(report.ended),
    }


def footer_of(report: Report, seconds: float) -> dict[str, Any]:
    """The last line of a report that ends now, after so many seconds: its counts and its conclusion."""
    concluded = Conclusion(report)
    told = {"seconds": round(seconds, 3), "exit": int(concluded.code), "conclusion": concluded.counts()}
    return {"kind": "footer", **lines_of(report), **told}


def refuse_quick(report: Report, where: object) -> None:
    """Raises `UsageError` for a quick run, of which nothing is kept that counts."""
    if Conclusion(report).quick:
        raise UsageError(f"{where} is of a quick run, which is no conformance run: run without --quick")


def refuse_cut(report: Report, where: object) -> None:
    """Raises `NotWhole` where lines are missing, or are there that nobody counted.

    A footer counts every kind of line, an item's end its verdicts. A header holds the digest of the items that were to
    run; where the run went on to its end, they have ended, each once. What is no share holds all of the run's items.
    """
    told = next(_lacks(report), None)
    if told is not None:
        raise NotWhole(f"{where} is not whole: {told}; lines of it are missing or were changed: it shows nothing")


def _lacks(report: Report) -> Iterator[str]:
    header = report.header
    counted, there = sum(end.get("verdicts", 0) for end in report.ended), len(report.judged)
    if counted > there:
        yield f"its items end after {counted} verdicts, and {there} are there"
    if report.footer is not None:
        for name, count in lines_of(report).items():
            said = report.footer.get(name, count if header["schema"] == 1 else None)
            if said != count:
                yield f"its footer counts {_told(said)} {name.replace('_', ' ')}, and {_told(count)} are there"
        if header["suite"].get("version") == VERSION:  # others may count in another way
            yield from _miscounted(report, report.footer.get("conclusion", {}))
    if header["schema"] == 1:  # it had neither digests nor counts of evidence and ends
        return
    names = [str(end["item"]) for end in report.ended]
    if report.complete and (len(names) != header["items"] or digest_of_items(names) != header.get("digest")):
        yield f"its header is about {header['items']} items, and those that ended, {len(names)}, are others"
    if not header["selection"].get("shares") and header.get("digest") != header.get("plan"):
        yield "it says that it is no share, and its items are not those of the whole run"


def _miscounted(report: Report, said: Mapping[str, Any]) -> Iterator[str]:
    """Where a conclusion's counts are not those of the verdicts: a level or a limit is another one now."""
    there = Conclusion(report).counts()
    for name in ("musts", "recommendations"):
        if name in said and said[name] != there[name]:
            yield f"its footer counts {_told(said[name])} {name}, and {_told(there[name])} are there"


def _told(count: object) -> str:
    if isinstance(count, Mapping):
        return ", ".join(f"{number} {status}" for status, number in count.items()) or "no"
    return "no" if count is None else str(count)
