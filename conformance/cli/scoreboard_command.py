"""``lossconf scoreboard``: several reports as a static site, one table and a page for whatever stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.saying import say

if TYPE_CHECKING:
    from conformance.gate import Baseline

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("scoreboard")
@click.argument("reports", type=_FILE, nargs=-1)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="The folder for the site.")
@click.option(
    "--baseline", "baselines", type=(_FILE, _FILE), multiple=True, metavar="REPORT FILE",
    help="What is known to fail in one of the reports: its reasons are the known bugs.",
)  # fmt: skip
@click.option("--schema", is_flag=True, help="Print the JSON schema of scoreboard.json instead.")
def command(
    reports: tuple[Path, ...], output: Path | None, baselines: tuple[tuple[Path, Path], ...], schema: bool
) -> int:
    """Write a site that sets implementations side by side: musts passed of musts claimed by loss and type, and a page
    for each implementation, loss and known bug.

    A REPORT is a report.jsonl, or the scoreboard.json of another site, whose entries are taken over. Shards of one run
    are joined.

    \b
    Examples:
      lossconf scoreboard caffe.jsonl torch.jsonl -o site
      lossconf scoreboard caffe.jsonl -o site --baseline caffe.jsonl caffe.toml
      lossconf scoreboard published/scoreboard.json mine.jsonl -o site
    """
    import json

    from conformance.contract.errors import UsageError
    from conformance.gate import read_baseline
    from conformance.record.merging import joined
    from conformance.record.reader import read_report
    from conformance.record.whole import refuse_quick
    from conformance.views.scoreboard import Scoreboard, entry_of, read_scoreboard, write_site
    from conformance.views.scoreboard import schema as document_schema

    if schema:
        say(json.dumps(document_schema(), indent=2))
        return 0
    if not reports or output is None:
        raise UsageError("reports and a folder are needed: lossconf scoreboard REPORT... -o FOLDER")
    known: dict[Path, Baseline] = {}
    for report, file in baselines:
        if report not in reports:
            raise UsageError(f"--baseline {report} {file}: {report} is not among the reports")
        known[report] = read_baseline(file)
    earlier = [path for path in reports if path.suffix == ".json"]
    read = {path: read_report(path) for path in reports if path not in earlier}
    for path, run in read.items():
        refuse_quick(run, path)
    whole = joined(read)
    entries = [entry for path in earlier for entry in read_scoreboard(path).entries]
    entries += [entry_of(run, next((known[path] for path in paths if path in known), None)) for paths, run in whole]
    count = write_site(Scoreboard(entries), output, *reports, *(file for _, file in baselines))
    say(f"wrote {output / 'index.html'} and {count - 1} more files", err=True)
    return 0
