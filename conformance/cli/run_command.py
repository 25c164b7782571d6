"""``lossconf run``: the suite on an implementation."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.adapters.opening import refuse_in_process
from conformance.cli.check_command import decided
from conformance.cli.completing import implementations, layers, profiles
from conformance.cli.layer_options import about, of_case_files, python_layer_options, read_snippets
from conformance.cli.numbers import Finite
from conformance.cli.on_option import on_option, refuse_beside
from conformance.cli.run_options import (
    cases_option,
    declines_option,
    dialect_option,
    families_option,
    fresh_option,
    new_seed,
    timeout_option,
    workers_option,
)
from conformance.cli.running import refuse_cut_index, run
from conformance.cli.simulate_option import simulate_option
from conformance.cli.types_option import TYPES
from conformance.contract.paths import refuse_same, text_of
from conformance.contract.selection import Selection
from conformance.engine.order import Order
from conformance.engine.stopped_run import StoppedRun, stopped_run
from conformance.gate import read_baseline, read_lock
from conformance.record.reader import read_report
from conformance.views.console import PlainConsole
from conformance.views.terminal import output, render

__all__ = ["command"]

DEFAULT = "numba-cpu"


_WHOLE = ("checks", "case_files", "losses", "explore", "baseline", "lock")
"""Parameters that make no sense in a quick run."""


class _Share(click.ParamType[tuple[int, int]]):
    """``3/8``: the third of eight parts."""

    name = "I/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        index, slash, count = str(value).partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            self.fail(f"{value!r} is no shard: use 1/8 to 8/8", param, ctx)
        return int(index), int(count)


def _new_seed(stopped: StoppedRun | None, of: str = "seed") -> int:
    """What is drawn from: the stopped run's seed, or one that nobody chose."""
    return int(stopped.header[of]) if stopped is not None else new_seed()


@click.command("run", epilog="Ends with the exit codes that `lossconf --help` lists.")
@click.argument("implementation", default=DEFAULT, shell_complete=implementations)
@dialect_option
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    type=TYPES,
    help="A type, or what differs by role, as in 'float16, loss float32 (computed float32)'; repeatable. Default: all "
    "that the implementation claims.",
)
@families_option
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=layers,
    metavar="NAME|FILE",
    help="Only checks about this layer, as ids spell it, or net; or SNIPPET.prototxt, any other layer; repeatable.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    shell_complete=profiles,
    metavar="NAME",
    help="Only losses of this profile, as `lossconf list losses` has them; repeatable. Default: bvlc, and those that "
    "the implementation describes.",
)
@click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="FILE.py",
    help="A loss described in a file (`lossconf losses new`); a run that names nothing else is about it; repeatable.",
)
@cases_option
@click.option(
    "--case-file",
    "case_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only the case in this file, a find of `lossconf explore` or a golden case; repeatable.",
)
@click.option("--quick", is_flag=True, help="Only the most telling checks, in seconds: no conformance run.")
@click.option("-k", "keyword", default="", metavar="EXPR", help="Only checks that match, as pytest's -k does.")
@workers_option
@on_option
@click.option("--shard", type=_Share(), help="Only one part of the checks, for a run spread over machines.")
@click.option(
    "--report",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.jsonl",
    show_default=True,
    help="Where the report goes.",
)
@click.option("--baseline", type=click.Path(dir_okay=False, path_type=Path), help="The failures that are known.")
@click.option("--lock", type=click.Path(dir_okay=False, path_type=Path), help="The checks that have to run.")
@declines_option
@click.option(
    "--fail-fast",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="End after N failing cases; --resume goes on.",
)
@click.option("--resume", is_flag=True, help="Go on from a report that a stopped run left, if there is one.")
@click.option(
    "--explore",
    type=click.IntRange(1, 10_000),
    default=1,
    metavar="N",
    help="Draw N times as many generated cases as in a gate, and others.",
)
@click.option("--seed", type=click.IntRange(1, 2**31 - 1), help="What --explore draws from; the report names it.")
@fresh_option
@timeout_option
@click.option(
    "--max-time",
    type=Finite(0.0, 1e7),
    default=0.0,
    metavar="S",
    help="Seconds after which no case is begun; what is left is timed out. Default: as long as it takes.",
)
@click.option(
    "--max-hangs",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Cases in a row that may time out before the rest is timed out without being run; 0: any number.",
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Open a Python object in the process that judges it, for a debugger (with -j 0); decides nothing.",
)
@python_layer_options
@simulate_option
def command(
    implementation: str,
    dialect: str | None,
    dtypes: tuple[str, ...],
    families: tuple[str, ...],
    layers: tuple[str, ...],
    profiles: tuple[str, ...],
    losses: tuple[str, ...],
    checks: tuple[str, ...],
    case_files: tuple[Path, ...],
    quick: bool,
    keyword: str,
    workers: int,
    on: str,
    shard: tuple[int, int] | None,
    path: Path,
    baseline: Path | None,
    lock: Path | None,
    declines: tuple[str, ...],
    fail_fast: int | None,
    resume: bool,
    explore: int,
    seed: int | None,
    fresh: int | None,
    timeout: float,
    max_time: float,
    max_hangs: int,
    in_process: bool,
) -> int:
    """Run the suite on IMPLEMENTATION (default: numba-cpu) and say whether it conforms.

    \b
    Examples:
      lossconf run
      lossconf run reference --dialect bvlc -j 2
      lossconf run reference --quick
      lossconf run reference --resume
      lossconf run reference --profile faces
      lossconf run reference --case-file nightly/finds/FIND.json
      lossconf run reference --baseline baseline.toml --lock lossconf.lock
      lossconf run direct:mylayers:MyLoss --layer LAYER
      lossconf run python-layer:mylayers.py:MyLoss --as TYPE
      lossconf run python-layer:mylayers.py:MyLoss --as MyLoss --loss my_loss.py
      lossconf run numba-cuda --simulate
      lossconf run numba-cpu --fresh
      lossconf run numba-cpu --on tcp://scheduler:8786
      lossconf run pycaffe:/opt/py36/bin/python --layer mylayer.prototxt
      lossconf run pycaffe:/opt/py36/bin/python --family golden --report caffe.jsonl
    """
    if quick:
        refuse_beside(*_WHOLE, option="--quick", why="it is no conformance run, and of checks that are chosen already")
    refuse_same(path, baseline, lock)
    if baseline:
        read_baseline(baseline)  # a run of minutes does not end with the news that there is none
    if lock:
        read_lock(lock)
    if on:
        refuse_beside("workers", "in_process")
    if in_process:
        refuse_in_process(implementation)
    if implementation.startswith("files:"):
        refuse_cut_index(implementation)
    layers, snippets = read_snippets(layers)
    losses = tuple(str(Path(name).resolve()) for name in losses)
    asked = Selection(families, layers, checks, dtypes, profiles)
    selection = about(asked, losses)
    texts = tuple(text_of(file, "the case file") for file in case_files)
    if texts:
        selection = of_case_files(asked, texts, snippets)
    shares = (shard,) if shard else ()
    stopped = stopped_run(path) if resume else None
    order = Order(
        implementation,
        dialect,
        timeout,
        selection,
        keyword,
        shares,
        snippets=snippets,
        case_files=texts,
        declines=declines,
        fail_fast=fail_fast or 0,
        losses=losses,
        seed=seed or (_new_seed(stopped) if explore > 1 else 0),
        explore=explore,
        in_process=in_process,
        fresh=0 if fresh is None else fresh or _new_seed(stopped, "fresh"),
        max_time=max_time,
        max_hangs=max_hangs,
        quick=quick,
    )
    code = run(order, workers, path, PlainConsole(stderr=True), stopped, on)
    render(read_report(path), output(), str(path))
    return decided(path, baseline, lock) if baseline or lock else code
