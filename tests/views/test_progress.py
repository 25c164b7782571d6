"""What is shown while a run goes on."""

from __future__ import annotations

import io
import re

from rich.console import Console

from conformance.views.progress import ProgressBar


def test_a_log_gets_a_few_plain_lines() -> None:
    out = io.StringIO()
    with ProgressBar(Console(file=out)) as display:
        display.expect(2012)
        for i in range(2012):
            display.at(f"case-{i}")
            display.judged(i == 500)
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "202 of 2012 checks, 0 failing"
    assert lines[-1] == "2012 of 2012 checks, 1 failing"


def test_a_terminal_gets_a_bar_with_the_check_at_hand() -> None:
    out = io.StringIO()
    with ProgressBar(Console(file=out, force_terminal=True, width=120)) as display:
        display.expect(3)
        display.at("first")
        display.judged(True)
        display.at("second [bold]\x1b[2J")
        display.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "1/3" in shown
    assert "1 failing  second [bold] [2J" in shown


def test_a_run_shorter_than_its_lines_is_told_check_by_check() -> None:
    out = io.StringIO()
    with ProgressBar(Console(file=out)) as display:
        display.expect(3)
        for _ in range(3):
            display.judged(False)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["1", "2", "3"]


def test_a_check_of_many_cases_says_how_far_it_is() -> None:
    out, log = io.StringIO(), io.StringIO()
    with ProgressBar(Console(file=log)) as display:
        display.expect(1)
        for cases in range(100, 2100, 100):
            display.within("a search [bold]", cases)
    assert log.getvalue().splitlines() == ["a search [bold]: 1000 cases", "a search [bold]: 2000 cases"]
    with ProgressBar(Console(file=out, force_terminal=True, width=120)) as display:
        display.expect(1)
        display.within("a search", 300)
        display.refresh()
    assert "a search, 300 cases" in out.getvalue()
