"""``lossconf diff``: what changed between two reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.saying import say

if TYPE_CHECKING:
    from conformance.contract.verdict import Verdict
    from conformance.record.devices import Standing
    from conformance.record.differences import Change, Differences

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_SHOWN = 20
"""Changes of one kind that are printed; the rest are counted."""


@click.command("diff")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
def command(old: Path, new: Path) -> int:
    """Say what changed from report OLD to report NEW: what the implementation broke or mended, what the suite did.

    A change is the suite's own where the check was given another case, or where the implementation is the very same and
    the suite is not. Of one implementation on two devices it says first, for each layer and type, the largest error on
    either in units of the bound, and which device is right. Ends with 1 where the implementation broke something.

    \b
    Examples:
      lossconf diff main.jsonl report.jsonl
      lossconf diff cpu.jsonl gpu.jsonl
    """
    from conformance.record.devices import device_of, devices_between
    from conformance.record.differences import differences_between
    from conformance.record.reader import read_report

    reports = [read_report(path) for path in (old, new)]
    changes = differences_between(*reports)
    for path, report in zip((old, new), reports, strict=True):
        if not report.complete:
            say(f"note: {path} is incomplete, so that what it lacks may be missing for that alone")
    devices = [device_of(report.header) for report in reports]
    for line in _beside(devices_between(*reports), devices):
        say(line)
    for line in _lines(changes):
        say(line)
    return 1 if changes.regressions else 0


def _beside(rows: Sequence[Standing], devices: Sequence[str]) -> Iterator[str]:
    """The devices, layer by layer: musts failed and largest error in bounds on each, how many numbers differ, and which
    device is right."""
    if not rows:
        return
    yield f"{devices[0]} beside {devices[1]}: musts failed, largest error in units of the bound"
    told = [["", "", *devices, "unlike", "right"]]
    for row in rows:
        sides = [f"{side.musts.failed}, {_error(side.error)}" for side in row.sides]
        told.append([row.stem, row.dtype, *sides, f"{row.unlike} of {row.measured}", _right(row.right, devices)])
    widths = [max(len(cells[i]) for cells in told) for i in range(len(told[0]))]
    for cells in told:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _error(error: float | None) -> str:
    return "nothing measured" if error is None else f"{error:.2g}"


def _right(right: tuple[bool, bool], devices: Sequence[str]) -> str:
    return "both" if all(right) else devices[right.index(True)] if any(right) else "neither"


def _lines(changes: Differences) -> Iterator[str]:
    ours = [change for change in changes.changed if not change.by_suite]
    theirs = [change for change in changes.changed if change.by_suite]
    for title, some in (("the implementation", ours), ("the suite", theirs)):
        for kind in ("broke", "mended", "became"):
            yield from _section(f"{title} {kind}", [change for change in some if change.kind == kind])
    yield from _failing_news(changes)
    before, after = changes.suites
    told = f" (suite {before} to {after})" if before != after else ""
    yield from _only(f"only in the new report{told}", changes.added)
    yield from _only(f"only in the old report{told}", changes.removed)
    if not changes.changed and not changes.added and not changes.removed:
        yield "nothing changed"


def _failing_news(changes: Differences) -> Iterator[str]:
    """The failures of what only the newer suite asks for."""
    from conformance.contract.errors import one_line

    failing = changes.failing_news
    if failing:
        yield f"failures that are the suite's news, asked for since suite {changes.suites[0]} ({len(failing)})"
    yield from (f"  {one_line(f'{v.item} {v.requirement}: {v.reason}')}" for v in failing[:_SHOWN])
    if len(failing) > _SHOWN:
        yield f"  and {len(failing) - _SHOWN} more"


def _section(title: str, changes: Sequence[Change]) -> Iterator[str]:
    from conformance.contract.errors import one_line

    if not changes:
        return
    yield f"{title} ({len(changes)})"
    for change in changes[:_SHOWN]:
        new = change.new
        reason = f": {new.reason}" if new.reason and new.status.breaks else ""
        level = f" ({new.level.value})" if new.level.value != "must" else ""
        told = f"{new.item} {new.requirement}{level}: {change.old.status.value} to {new.status.value}"
        yield f"  {one_line(told + reason)}"
    if len(changes) > _SHOWN:
        yield f"  and {len(changes) - _SHOWN} more"


def _only(title: str, verdicts: Sequence[Verdict]) -> Iterator[str]:
    from conformance.contract.errors import one_line

    checks = list(dict.fromkeys(v.item for v in verdicts))
    if not verdicts:
        return
    yield f"{title}: {len(verdicts)} verdict(s) on {len(checks)} check(s)"
    yield from (f"  {one_line(check)}" for check in checks[:_SHOWN])
    if len(checks) > _SHOWN:
        yield f"  and {len(checks) - _SHOWN} more"
