"""``lossconf judge``: answers that were handed in as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from conformance.cli.run_options import declines_option, dialect_option, workers_option
from conformance.cli.running import run
from conformance.views.console import PlainConsole

__all__ = ["command"]


@click.command("judge", epilog="Ends with the exit codes that `lossconf --help` lists.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that was exported. Default: PATH, or the folder that PATH lies in.",
)
@dialect_option
@workers_option
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.jsonl",
    show_default=True,
    help="Where the report goes.",
)
@declines_option
def command(
    path: Path, folder: Path | None, dialect: str | None, workers: int, report: Path, declines: tuple[str, ...]
) -> int:
    """Judge the answers in PATH to the cases of an export, as a run would.

    \b
    PATH is the exported folder with a file per answer in it, or a file with the lines that a program wrote on the
    folder's requests.jsonl. A case without an answer counts as a protocol error, never as passed; say "unsupported"
    of what is not claimed. An index.json that is not the exported one is refused.

    \b
    Examples:
      lossconf judge cases
      lossconf judge cases/answers.jsonl --report mycaffe.jsonl
      lossconf judge cases --declines passes
      lossconf judge /media/usb/answers.jsonl --export cases --dialect bvlc
    """
    from conformance.adapters.files import Answers, spelled
    from conformance.contract.paths import refuse_same
    from conformance.engine.export import refuse_other_index
    from conformance.engine.order import Order
    from conformance.record.reader import read_report
    from conformance.views.terminal import output, render

    refuse_same(report, path)
    lines = path if path.is_file() else None
    exported = folder or (path.parent if lines else path)
    answers = Answers(exported, lines)
    missing, index = answers.missing(), answers.index
    refuse_other_index(index, answers.folder)
    selection = replace(index.selection, dtypes=index.dtypes)
    order = Order(spelled(exported, lines), dialect, selection=selection, declines=declines, fresh=index.fresh)
    console = PlainConsole(stderr=True)
    code = run(order, workers, report, console)
    render(read_report(report), output(), str(report))
    if missing:
        told = f"{len(missing)} of {len(index.items)} answers are missing, {missing[0]} is the first"
        console.print(told, style="bold", highlight=False)
    return code
