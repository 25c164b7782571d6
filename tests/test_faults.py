"""A system that does not do its part, wherever the suite asks it to: see `tests.faults`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults import ERRORS, FEW, Fault, points, trial, watched

ITEMS = ("reference", "-j", "0", "--case", "euclidean_loss/grid-001")


def _wrong(
    folder: Path, arguments: Sequence[str], items: int, chosen: Callable[[Fault], bool]
) -> tuple[int, list[str]]:
    """How many faults a run met that goes on after some items, and what was wrong with it."""
    whole = watched(folder / "report.jsonl", arguments)
    ends = [i for i, line in enumerate(whole.lines, 1) if line.startswith('{"kind":"end"')]
    before = whole.lines[: ends[items - 1]]
    (folder / "report.jsonl").write_text("".join(f"{line}\n" for line in before), "utf-8")
    half = watched(folder / "report.jsonl", ["--resume", *arguments])
    assert half.verdicts == whole.verdicts
    faults = [fault for fault in points(half.faults.calls) if chosen(fault)]
    return len(faults), [f"{f}: {wrong}" for f in faults for wrong in trial(folder, arguments, whole, f, before)]


def _of_the_report(fault: Fault) -> bool:
    kind, file, _ = fault.site
    first = fault.error == ERRORS[kind][0]
    return file == "conformance/record/writer.py" and first and (kind != "write" or fault.number > 1)


def test_a_report_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    count, wrong = _wrong(tmp_path, ITEMS, 1, _of_the_report)
    assert count >= 4
    assert not wrong


@pytest.mark.slow
def test_every_fault_in_a_run_of_some_fifty_items(tmp_path: Path) -> None:
    count, wrong = _wrong(tmp_path, ("reference", "-j", "0", *FEW), 10, lambda fault: True)
    assert count > 30
    assert not wrong


@pytest.mark.slow
def test_a_fault_at_every_site_of_a_run_with_a_process(tmp_path: Path) -> None:
    def first(fault: Fault) -> bool:
        return fault.number == 1 and fault.error == ERRORS.get(fault.site[0], (fault.error,))[0]

    count, wrong = _wrong(tmp_path, ("reference", "-j", "1", *ITEMS[3:]), 1, first)
    assert count > 10
    assert not wrong
