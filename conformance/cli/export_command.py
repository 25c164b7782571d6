"""``lossconf export``: the suite's cases as files."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.completing import layers
from conformance.cli.run_options import cases_option, families_option, fresh_option, new_seed
from conformance.cli.saying import say
from conformance.cli.types_option import TYPES
from conformance.contract.dtypes import DEFAULT

__all__ = ["command"]


@click.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--dtype", "dtypes", multiple=True, type=TYPES, help="Repeatable. Default: all that Caffe has.")
@families_option
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=layers,
    help="Only checks about this layer, as ids spell it, or net; repeatable.",
)
@cases_option
@click.option("--large", is_flag=True, help="With the cases whose files exceed a megabyte.")
@fresh_option
def command(
    folder: Path,
    dtypes: tuple[str, ...],
    families: tuple[str, ...],
    layers: tuple[str, ...],
    checks: tuple[str, ...],
    large: bool,
    fresh: int | None,
) -> int:
    """Write the suite's cases to FOLDER, for a machine that lossconf cannot reach.

    \b
    FOLDER gets one JSON file per case, the same cases as requests of the protocol, an index and instructions. Put the
    answers beside them and `lossconf judge FOLDER` judges them. Checks that need a running implementation are left
    out: those that run a case again, search, or difference a loss.

    \b
    Examples:
      lossconf export cases --layer LAYER --dtype float32
      lossconf export cases --fresh
      ./my-losses --serve < cases/requests.jsonl > cases/answers.jsonl
      lossconf judge cases/answers.jsonl
    """
    from conformance.contract.selection import Selection
    from conformance.engine.export import export
    from conformance.suite import plan

    selection = Selection(families, layers, checks, dtypes)
    seed = 0 if fresh is None else fresh or new_seed()
    index = export(folder, selection, plan(selection, DEFAULT), large, seed)
    values = f" on fresh values, from seed {seed}" if seed else ""
    say(
        f"{len(index.items)} cases ({', '.join(index.dtypes)}){values} in {folder}; "
        f"{folder / 'README.md'} says what to do"
    )
    return 0
