"""``lossconf explore``: a campaign over seeds, in a folder that it goes on from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import click

from conformance.cli import completing
from conformance.cli.layer_options import about, python_layer_options
from conformance.cli.numbers import Finite
from conformance.cli.on_option import on_option, refuse_beside
from conformance.cli.run_options import declines_option, dialect_option, timeout_option, workers_option
from conformance.cli.running import TimeOver, run
from conformance.cli.saying import say
from conformance.cli.types_option import TYPES
from conformance.contract.dtypes import DEFAULT
from conformance.contract.exit_codes import ExitCode
from conformance.contract.paths import put
from conformance.contract.selection import Selection
from conformance.engine.order import Order
from conformance.exploration.campaign import FINDS, PAGE, Campaign
from conformance.exploration.explored import Explored
from conformance.exploration.finds import finds_of, write_cases
from conformance.exploration.page import campaign_page, conclusion_of
from conformance.record.reader import read_report
from conformance.suite import exploration, plan, profiles_asked
from conformance.views.console import PlainConsole

__all__ = ["command"]


class _Seeds(click.ParamType[tuple[int, int]]):
    """``1..10000``: all from the first to the last."""

    name = "FIRST..LAST"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, dots, last = str(value).partition("..")
        if not (first.isdecimal() and last.isdecimal() and dots and 1 <= int(first) <= int(last) < 2**31):
            self.fail(f"{value!r} is no range of seeds: use 1..10000", param, ctx)
        return int(first), int(last)


@click.command("explore", epilog="Ends with the exit codes that `lossconf --help` lists.")
@click.argument("implementation", shell_complete=completing.implementations)
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The campaign's folder: made, or gone on with.",
)
@click.option("--seeds", type=_Seeds(), default="1..10000", show_default=True, help="The seeds to explore.")
@click.option("--hours", type=Finite(0.0, 1e5), default=0.0, help="Hours after which it ends, to go on another time.")
@click.option("--minutes", type=Finite(0.0, 1e6), default=0.0, help="Minutes, the same. Default: until all seeds are.")
@dialect_option
@click.option("--dtype", "dtypes", multiple=True, type=TYPES, help="A type, as for `lossconf run`; repeatable.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=completing.layers,
    metavar="NAME",
    help="Only this loss; repeatable.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    shell_complete=completing.profiles,
    metavar="NAME",
    help="Only losses of this profile; repeatable.",
)
@click.option("--loss", "losses", multiple=True, metavar="FILE.py", help="A loss described in a file; repeatable.")
@workers_option
@on_option
@declines_option
@timeout_option
@python_layer_options
def command(
    implementation: str,
    folder: Path,
    seeds: tuple[int, int],
    hours: float,
    minutes: float,
    dialect: str | None,
    dtypes: tuple[str, ...],
    layers: tuple[str, ...],
    profiles: tuple[str, ...],
    losses: tuple[str, ...],
    workers: int,
    on: str,
    declines: tuple[str, ...],
    timeout: float,
) -> int:
    """Explore IMPLEMENTATION: cases that seeds draw from all that is declared of each loss, until the time is over.

    \b
    Killed at any moment, the same command goes on where it was. FOLDER/campaign.md says what was met and what was
    found; FOLDER/finds holds the simplest case of each find, for `lossconf run IMPLEMENTATION --case-file`.

    \b
    Examples:
      lossconf explore numba-cpu --hours 8 --out nightly
      lossconf explore pycaffe:/opt/py36/bin/python --seeds 1..500 --layer LAYER --out layer
    """
    if on:
        refuse_beside("workers")
    until = time.monotonic() + 3600 * hours + 60 * minutes if hours or minutes else math.inf
    losses = tuple(str(Path(name).resolve()) for name in losses)
    selection = about(Selection((exploration.FAMILY,), layers, (), dtypes, profiles), losses)
    order = Order(
        implementation,
        dialect,
        timeout,
        selection,
        declines=declines,
        losses=losses,
        seed=seeds[0],
        explore=seeds[1] - seeds[0] + 1,
    )
    chosen = {item.check.layer for item in plan(selection, DEFAULT, profiles=profiles_asked(selection), seed=1)}
    campaign = Campaign.at(folder, order, len(chosen))
    say(f"exploring {len(chosen)} losses from seeds {seeds[0]} to {seeds[1]}, {campaign.block} to a block", err=True)
    return _explored(campaign, workers, on, until)


def _explored(campaign: Campaign, workers: int, on: str, until: float) -> ExitCode:
    """Run what is left, block by block; the page is written after each, and however it ends."""
    known = dict(campaign.explored())
    if known:
        say(_written(campaign, known), err=True)
    try:
        for order, path in campaign.blocks():
            if path not in known or not known[path].complete:
                run(order, workers, path, PlainConsole(stderr=True), campaign.stopped(path), on, until)
                known[path] = Explored.of(read_report(path))
                say(_written(campaign, known), err=True)
    except TimeOver:
        pass
    finally:
        known = dict(campaign.explored())
        if known:
            say(f"{_written(campaign, known)}; {campaign.folder / PAGE}")
    return _whole(known).code


def _written(campaign: Campaign, known: Mapping[Path, Explored]) -> str:
    """Write the page and the finds' cases, and say how far the campaign is."""
    explored = _whole(known)
    finds = finds_of(explored)
    write_cases(campaign.folder / FINDS, finds)
    put(campaign.folder / PAGE, campaign_page(campaign, explored, finds))
    return conclusion_of(campaign, explored, finds)


def _whole(known: Mapping[Path, Explored]) -> Explored:
    whole = Explored()
    for each in known.values():
        whole.add(each)
    return whole
