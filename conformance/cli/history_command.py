"""``lossconf history``: what several reports say of an implementation as time goes on."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.saying import say

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("history")
@click.argument("reports", type=_FILE, nargs=-1, required=True)
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with the trend of musts passed and of headroom.")
def command(reports: tuple[Path, ...], html: Path | None) -> int:
    """Print a line for each of REPORTS, in the order in which they were begun: musts passed, what broke and was mended
    since the one before, the least headroom.

    \b
    Examples:
      lossconf history january.jsonl february.jsonl
      lossconf history reports/*.jsonl --html history.html
    """
    from conformance.contract.paths import put, refuse_same
    from conformance.record.reader import read_report
    from conformance.views.history import history_page, history_text, moments_of

    refuse_same(html, *reports)
    moments = moments_of([read_report(path) for path in reports])
    for line in history_text(moments):
        say(line)
    if html is not None:
        put(html, history_page(moments))
    return 0
