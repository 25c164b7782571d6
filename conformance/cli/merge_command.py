"""``lossconf merge``: the reports of shards joined, those of several machines side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conformance.record.conclusion import Musts
    from conformance.record.merging import Column

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("merge")
@click.argument("reports", type=_FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=_FILE, help="Write the joined report here; the reports must be shards of one run.")
@click.option("--markdown", is_flag=True, help="Print the matrix as a Markdown table.")
def command(reports: tuple[Path, ...], output: Path | None, markdown: bool) -> int:
    """Join shards of one run, and set the runs of several machines, devices or versions side by side.

    \b
    Examples:
      lossconf merge shard-*.jsonl -o report.jsonl
      lossconf merge cpu.jsonl cuda.jsonl --markdown
    """
    from conformance.contract.errors import UsageError
    from conformance.record.merging import joined, matrix, unlike
    from conformance.record.reader import read_report
    from conformance.record.writer import write_report

    runs = joined({path: read_report(path) for path in reports})
    if output is not None:
        if len(runs) > 1:
            told = ", ".join(unlike(report for _, report in runs)) or "some are no shards"
            raise UsageError(f"these are {len(runs)} runs, not shards of one ({told} differs): leave --output out")
        write_report(output, runs[0][1])
    columns = matrix(runs)
    for line in _markdown(columns) if markdown else _plain(columns):
        click.echo(line)
    return 0


def _rows(columns: Sequence[Column]) -> Iterator[list[str]]:
    yield ["musts passed", *(column.label for column in columns)]
    stems = sorted({stem for column in columns for stem in column.cells}, key=lambda stem: (stem == "net", stem))
    for stem in stems:
        yield [stem, *(_cell(column.cells.get(stem)) for column in columns)]
    yield ["conclusion", *(column.conclusion for column in columns)]


def _cell(musts: Musts | None) -> str:
    """How many passed, of how many that are claimed."""
    if musts is None or not musts.claimed:
        return "-"
    return str(musts.passed) if musts.passed == musts.claimed else f"{musts.passed} of {musts.claimed}"


def _plain(columns: Sequence[Column]) -> Iterator[str]:
    rows = list(_rows(columns))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def _markdown(columns: Sequence[Column]) -> Iterator[str]:
    from conformance.views.text import markdown

    head, *rows = _rows(columns)
    yield f"| {' | '.join(map(markdown, head))} |"
    yield f"|---|{'---:|' * len(columns)}"
    yield from (f"| {' | '.join(map(markdown, row))} |" for row in rows)
