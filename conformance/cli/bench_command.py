"""``lossconf bench``: how fast implementations are, here and on other machines, and whether they got slower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.bench_gate import gate
from conformance.cli.bench_options import chosen_threads, note, patience_option, problems_of, started, timing_options
from conformance.cli.completing import implementations
from conformance.cli.on_option import on_option
from conformance.cli.saying import say

if TYPE_CHECKING:
    from conformance.timing.measure import Plan
    from conformance.timing.result import Result

__all__ = ["command"]

PEERS = ("numba-cpu", "torch", "jax")
"""What is timed where nothing is asked for."""

GPU_PEERS = ("numba-cuda", "torch:cuda")
"""What is timed where numba-cuda alone is asked for."""

EVERYDAY = ("tiny", "classifier", "large", "dense", "elementwise")
"""Sizes that are timed where none is asked for: all but the one that takes gigabytes."""


class _Bench(click.Group):
    """A group whose arguments are implementations to time, unless the first is one of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("bench", cls=_Bench, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Time implementations of the loss layers, side by side, on the same inputs.

    `lossconf bench [IMPLEMENTATION ...]` is short for `lossconf bench run`: what is named first is compared with all
    others, with a plain copy of the same bytes, and with what the reference computes.

    \b
    Examples:
      lossconf bench                                        numba-cpu, and torch and jax where they are installed
      lossconf bench numba-cpu pycaffe:/opt/py39/bin/python --size tiny
      lossconf bench --layer LAYER --size huge --dtype float32 --mode both
      lossconf bench numba-cuda --size large                on a GPU, beside torch on it and the GPU's own copy
      lossconf bench compare laptop.json server.json --plots plots
      lossconf bench gate --against main                    is anything slower than it was on main?
      lossconf bench goals goals.toml                       does it reach what a file wants of it?
    """


@command.command("run")
@click.argument("implementations", nargs=-1, shell_complete=implementations, metavar="[IMPLEMENTATION]...")
@timing_options
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="How often each has its turn.")
@patience_option
@on_option
@click.option(
    "--result",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="bench.json",
    show_default=True,
    help="Where everything that was measured goes; with --on, a file for each machine, its name added.",
)
def run(
    implementations: tuple[str, ...],
    layers: tuple[str, ...],
    sizes: tuple[str, ...],
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    threads: int | None,
    rounds: int,
    patience: float,
    on: str,
    path: Path,
) -> int:
    """Time implementations in interleaved rounds. Ends with 1 where the first computes something wrong.

    \b
    Examples:
      lossconf bench run numba-cpu torch --size large --dtype float32
      lossconf bench run direct:mylayers:MyLoss reference --size tiny
      lossconf bench run numba-cpu torch --on tcp://scheduler:8786
    """
    from conformance.timing.measure import Plan, measure
    from conformance.timing.problem import MODES
    from conformance.timing.result import write_result
    from conformance.timing.table import render
    from conformance.views.terminal import output

    problems = problems_of(layers, sizes or EVERYDAY, dtypes)
    specs, count = implementations or PEERS, 0 if on and not threads else chosen_threads(threads)
    if specs == GPU_PEERS[:1]:
        specs = GPU_PEERS
    plan = Plan(specs, problems, modes or MODES, count, rounds, patience=60 * patience)
    if on:
        return _on_every_machine(plan, on, path)
    result = started(lambda: measure(plan, note))
    write_result(result, path)
    render(result, output())
    say(f"\nsaved {path}")
    return _code([result])


def _code(results: Iterable[Result]) -> int:
    """1 where what is named first computes something wrong."""
    verdicts = (one.verdicts.get(result.specs[0], {}) for result in results for one in result.measured)
    return 0 if all(verdict.get("accepted", True) for verdict in verdicts) else 1


def _on_every_machine(plan: Plan, on: str, path: Path) -> int:
    """Carry out a plan once on each machine of a cluster; a file of each, and the comparison of all."""
    from conformance.engine.cluster import cluster_at
    from conformance.timing.fleet import timed
    from conformance.timing.result import write_result

    with cluster_at(on) as cluster:
        results = timed(plan, cluster, note)
    for label, result in results.items():
        write_result(result, path.with_name(f"{path.stem}-{label}{path.suffix}"))
    _compared(results, None)
    say(f"\nsaved {path.with_name(f'{path.stem}-*{path.suffix}')}; `lossconf bench compare` draws them with --plots")
    return _code(results.values())


@command.command("compare")
@click.argument("paths", nargs=-1, required=True, metavar="RESULT.json...", type=click.Path(path_type=Path))
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Draw plots too, into this folder.")
def compare(paths: tuple[Path, ...], plots: Path | None) -> int:
    """Print results side by side: of several machines, or of one at several times.

    \b
    Examples:
      lossconf bench compare laptop.json server.json
      lossconf bench compare bench.json --plots plots       as SVG and PNG; needs matplotlib
    """
    from conformance.timing.comparison import labelled

    return _compared(labelled(paths), plots)


def _compared(results: Mapping[str, Result], plots: Path | None) -> int:
    """Print results side by side, and how portable each implementation is; draw them where plots are asked for."""
    from conformance.timing.comparison import lines, render_comparison
    from conformance.timing.portability import portabilities, render_portability
    from conformance.views.terminal import output

    render_comparison(results, output())
    if len(results) > 1:
        render_portability(portabilities(list(lines(results))), output())
    if plots is not None:
        from conformance.timing.plots import plot_all

        for path in plot_all(results, plots):
            say(f"drew {path}")
    return 0


@command.command("goals")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--peer", "peers", multiple=True, metavar="NAME=IMPLEMENTATION", help="What a peer's name stands for.")
@click.option("--threads", type=click.IntRange(1), help="Threads that each may use; default: all cores.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@patience_option
@click.option(
    "--result", "kept", type=click.Path(dir_okay=False, path_type=Path), help="Keep everything that was measured here."
)
def goals(
    path: Path, peers: tuple[str, ...], threads: int | None, rounds: int, patience: float, kept: Path | None
) -> int:
    """Time an implementation against what a TOML file wants of it, and say what it misses.

    Ends with 1 where something is missed, 4 where something could not be measured.

    \b
    Examples:
      lossconf bench goals bench/goals.toml --peer caffe=pycaffe:/opt/py39/bin/python --result goals.json
    """
    from conformance.contract.errors import UsageError
    from conformance.contract.exit_codes import ExitCode
    from conformance.timing.goals import merged, read_goals
    from conformance.timing.goals_table import render_goals
    from conformance.timing.measure import measure
    from conformance.timing.result import write_result
    from conformance.views.terminal import output

    named = dict(peer.partition("=")[::2] for peer in peers)
    if not all(named.values()):
        raise UsageError("--peer takes a name and an implementation, as in caffe=pycaffe:/opt/py39/bin/python")
    wanted = read_goals(path, named)
    plans = wanted.plans(chosen_threads(threads), rounds, 60 * patience)
    result = merged([started(partial(measure, plan, note)) for plan in plans])
    if kept is not None:
        write_result(result, kept)
    met = {reached.met for reached in render_goals(wanted, result, output())}
    if False in met:
        return ExitCode.DOES_NOT_CONFORM
    return ExitCode.FEWER_CHECKS_THAN_LOCK if None in met else ExitCode.CONFORMS


command.add_command(gate)
