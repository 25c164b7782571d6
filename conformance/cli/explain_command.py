"""``lossconf explain``: what is wrong with one failing case, and what it most likely comes from."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.completing import cases_that_fail
from conformance.cli.saying import say
from conformance.cli.types_option import TYPES

__all__ = ["command"]


@click.command("explain")
@click.argument("report", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("case", shell_complete=cases_that_fail)
@click.option("--dtype", type=TYPES, help="Which type, where both failed.")
def command(report: Path, case: str, dtype: str | None) -> int:
    """Explain why CASE failed in REPORT: the likely cause, the formula, the net, the first wrong element.

    \b
    Examples:
      lossconf explain report.jsonl CASE
      lossconf explain report.jsonl 'CASE[TYPE]'
    """
    from conformance.views.explanation import explanation
    from conformance.views.failing_case import failing_case

    for line in explanation(failing_case(report, case, dtype)):
        say(line)
    return 0
