"""``lossconf report``: a report that was written before, or the schema of reports."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("report")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="report.jsonl")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a report's lines instead.")
def command(path: Path, schema: bool) -> int:
    """Print the report in PATH (default: report.jsonl) as `lossconf run` printed it.

    \b
    Examples:
      lossconf report
      lossconf report --schema > report.schema.json
    """
    from importlib.resources import files

    from conformance.report.jsonl import read_report
    from conformance.report.terminal import output, render

    if schema:
        click.echo((files("conformance.report") / "schema.json").read_text("utf-8"), nl=False)
    else:
        render(read_report(path), output(), str(path))
    return 0
