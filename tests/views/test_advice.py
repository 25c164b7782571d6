"""What a run ends with: what the conclusion means in plain words, and commands that can be given as they stand."""

from __future__ import annotations

import io
import shlex
from typing import Any

import pytest
from rich.console import Console

from conformance.cli.main import COMMANDS, cli
from conformance.contract.errors import unknown
from conformance.contract.verdict import Status
from conformance.record.conclusion import Conclusion
from conformance.record.report import Report
from conformance.views.advice import meaning_of, next_steps
from conformance.views.terminal import render
from tests.reports import HEADER, failed, passed, report_of, verdict

GATED = ["report", "baseline", "list"]
RIGHT = "it computes what Caffe computes"
IN_PROCESS = {**HEADER["implementation"], "in_process": True}
SHARE = {"selection": {}, "keyword": "", "shares": [[1, 2]]}
CHOSEN = {"selection": {"families": ["golden"]}, "keyword": "", "shares": []}


@pytest.mark.parametrize(
    ("report", "says", "commands"),
    [
        (report_of(passed("h/1")), RIGHT, GATED),
        (report_of(passed("h/1"), selection=CHOSEN), "in the part of the suite that was chosen", GATED),
        (report_of(passed("h/1"), failed("h/2")), "other numbers than Caffe", ["explain", *GATED]),
        (report_of(passed("h/1"), verdict("h/2", Status.UNSUPPORTED)), "could not be judged", ["report", "list"]),
        (report_of(verdict("h/2", Status.UNSUPPORTED)), "not one number", ["report", "list"]),
        (report_of(passed("h/1"), implementation=IN_PROCESS), "nothing for sure", ["report", "list"]),
        (report_of(passed("h/1"), selection=SHARE), "nothing yet", ["merge"]),
        (report_of(passed("h/1"), complete=False), "", ["report", "list"]),
    ],
)
def test_a_conclusion_is_said_in_plain_words_with_what_to_do(report: Report, says: str, commands: list[str]) -> None:
    out = io.StringIO()
    render(report, Console(file=out, width=120), "my reports/report.jsonl")
    printed = out.getvalue()
    assert (f"that is: {meaning_of(Conclusion(report))}" in printed) is bool(says)
    assert says in meaning_of(Conclusion(report))
    first = next((each.verdict.item for each in report.judged if each.verdict.status is Status.FAILED), "")
    steps = [command for command, _ in next_steps(Conclusion(report), "my reports/report.jsonl", first)]
    assert [shlex.split(step)[1] for step in steps] == commands
    assert all(step in printed for step in steps)
    for step in steps:
        _, name, *arguments = shlex.split(step)
        found = cli.get_command(None, name)  # type: ignore[arg-type]
        assert name in COMMANDS and found is not None
        found.make_context(name, arguments)


@pytest.mark.parametrize("word", ["golden", "quirk", "must"])
def test_no_meaning_needs_a_word_of_the_suites(word: str) -> None:
    reports: list[Any] = [report_of(passed("h/1")), report_of(failed("h/1")), report_of(verdict("h/1", Status.SKIPPED))]
    assert all(word not in meaning_of(Conclusion(report)).split() for report in reports)


def test_a_suggestion_names_no_word_twice() -> None:
    assert str(unknown("loss", "Hinge", ["HingeLoss", "HingeLoss"])) == "no loss named 'Hinge'; did you mean HingeLoss?"
