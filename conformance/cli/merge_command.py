"""``lossconf merge``: the reports of shards joined, those of several machines side by side."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.saying import say

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("merge")
@click.argument("reports", type=_FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=_FILE, help="Write the joined report here; the reports must be shards of one run.")
@click.option("--markdown", is_flag=True, help="Print the matrix as a Markdown table.")
@click.option("--html", type=_FILE, help="Write the matrix as a page of HTML.")
def command(reports: tuple[Path, ...], output: Path | None, markdown: bool, html: Path | None) -> int:
    """Join shards of one run, and set the runs of several machines, devices or versions side by side.

    \b
    Examples:
      lossconf merge shard-*.jsonl -o report.jsonl
      lossconf merge cpu.jsonl cuda.jsonl --markdown
      lossconf merge reports/*.jsonl --html machines.html
    """
    from conformance.contract.errors import UsageError
    from conformance.contract.paths import put, refuse_same
    from conformance.record.merging import joined, matrix, unlike
    from conformance.record.reader import read_report
    from conformance.record.writer import write_report
    from conformance.views.machines import html_table, markdown_table, plain_table

    refuse_same(html, *reports)
    runs = joined({path: read_report(path) for path in reports})
    if output is not None:
        if len(runs) > 1:
            told = ", ".join(unlike(report for _, report in runs)) or "some are no shards"
            raise UsageError(f"these are {len(runs)} runs, not shards of one ({told} differs): leave --output out")
        write_report(output, runs[0][1])
    columns = matrix(runs)
    for line in markdown_table(columns) if markdown else plain_table(columns):
        say(line)
    if html is not None:
        put(html, html_table(columns))
    return 0
