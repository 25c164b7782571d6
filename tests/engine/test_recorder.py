"""The recorder: a report is about one implementation, whichever process tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import Stopped
from conformance.engine.order import Order
from conformance.engine.recorder import Recorder
from conformance.record.writer import ReportWriter
from conformance.views.console import PlainConsole
from conformance.views.progress import ProgressBar
from tests.reports import HEADER


def ready(**told: Any) -> dict[str, Any]:
    return {"kind": "ready", "implementation": {**HEADER["implementation"], **told}, "limits": [], "machine": {}}


@pytest.mark.parametrize("told", [{"name": "another"}, {"dtypes": ["float64"]}, {"layers": ["HingeLoss"]}])
def test_processes_of_unlike_implementations_make_no_report(tmp_path: Path, told: dict[str, Any]) -> None:
    with ReportWriter(tmp_path / "report.jsonl") as writer, ProgressBar(PlainConsole(stderr=True)) as display:
        recorder = Recorder(Order("process:x"), 2, writer, display)
        recorder(ready())
        recorder(ready(environment={"host": "another"}))
        with pytest.raises(Stopped, match=f"process:x is not one implementation: its {next(iter(told))} is ") as ended:
            recorder(ready(**told))
    assert ended.value.code == 6
