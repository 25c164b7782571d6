"""``lossconf repro``: a script that shows a failing case to a stranger."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.completing import cases_that_fail
from conformance.cli.saying import say
from conformance.cli.types_option import TYPES

__all__ = ["command"]


@click.command("repro")
@click.argument("report", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("case", shell_complete=cases_that_fail)
@click.option("--dtype", type=TYPES, help="Which type, where both failed.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(report: Path, case: str, dtype: str | None, output: Path | None) -> int:
    """Write a script that needs numpy alone and shows how CASE failed in REPORT.

    \b
    Its inputs, what Caffe computes for them and what was answered are inside. It also runs the net by pycaffe
    (--caffe), or takes other numbers from an .npz.

    \b
    Examples:
      lossconf repro report.jsonl CHECK -o repro.py
      python repro.py
    """
    from conformance.contract.paths import put, refuse_same
    from conformance.views.failing_case import failing_case
    from conformance.views.repro import repro_script

    refuse_same(output, report)
    script = repro_script(failing_case(report, case, dtype))
    if output is None:
        say(script, nl=False)
        return 0
    put(output, script)
    say(f"wrote {output}: run it with any Python that has numpy")
    return 0
