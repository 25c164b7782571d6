"""``lossconf mutants``: what the suite would catch, measured on wrong implementations."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import click
from rich.progress import track

from conformance.cli.completing import layers
from conformance.cli.on_option import on_option, refuse_beside
from conformance.cli.saying import say
from conformance.cli.types_option import TYPES
from conformance.contract.dtypes import DEFAULT
from conformance.contract.errors import UsageError, unknown
from conformance.contract.exit_codes import ExitCode
from conformance.contract.paths import put
from conformance.engine.cluster import cluster_at
from conformance.losses import KNOWN, LOSSES, profile_of
from conformance.mutants import Mutant, all_mutants, half_mutants
from conformance.mutants.matrix import kill_matrix
from conformance.mutants.pool import Hands
from conformance.mutants.summary import Summary
from conformance.views.console import PlainConsole

__all__ = ["command"]

T = TypeVar("T")
Working = AbstractContextManager[Hands]

_FORMATS = (".json", ".md")


@click.command("mutants")
@click.option("--mutant", "ids", multiple=True, metavar="ID", help="Only this mutant; repeatable.")
@click.option(
    "--layer",
    "stems",
    multiple=True,
    shell_complete=layers,
    help="Only mutants of this layer, as ids spell it, or net; repeatable.",
)
@click.option(
    "--dtype",
    "claims",
    multiple=True,
    type=TYPES,
    metavar="TYPES",
    help="In these types, and instead of the others the mutants that half types show; repeatable.",
)
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes to run in.")
@on_option
@click.option(
    "--out",
    "paths",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to a file as well, .json or .md; repeatable.",
)
@click.option("--once", is_flag=True, help="Whether each is killed, not by how many families: up to its first kill.")
@click.option("--list", "listing", is_flag=True, help="List the mutants with their causes, and run nothing.")
@click.option("--requirements", is_flag=True, help="Which musts no mutant fails, instead.")
@click.option("--sensitivity", is_flag=True, help="The smallest relative errors that are rejected, instead.")
@click.option("--diagnosis", is_flag=True, help="How often the likeliest cause is the one declared, instead.")
@click.option("--sample", type=click.IntRange(1), help="Mutants that --diagnosis and --choose-quick draw, not all.")
@click.option("--drawn", is_flag=True, help="Mutants drawn at random instead, with the interval of the power.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="What --drawn and --sample draw from."
)
@click.option("--count", type=click.IntRange(1), default=70, show_default=True, help="Drawn mutants of each loss.")
@click.option(
    "--kernels", type=click.IntRange(0), default=0, help="Besides, drawn mutants of each loss's Numba kernels."
)
@click.option("--choose-quick", "choosing", is_flag=True, help="Choose the checks of `lossconf run --quick`, instead.")
@click.option("--checkers", is_flag=True, help="What Caffe's gradient checker and torch's would make of them, instead.")
def command(
    ids: tuple[str, ...],
    stems: tuple[str, ...],
    claims: tuple[str, ...],
    jobs: int,
    on: str,
    paths: tuple[Path, ...],
    once: bool,
    listing: bool,
    requirements: bool,
    sensitivity: bool,
    diagnosis: bool,
    sample: int | None,
    drawn: bool,
    seed: int,
    count: int,
    kernels: int,
    choosing: bool,
    checkers: bool,
) -> int:
    """Run the suite on wrong implementations and say which it catches.

    Ends with 1 where a mutant survives, an equivalent one is killed, or an error that should be rejected is not.

    \b
    Examples:
      lossconf mutants -j 2 --out matrix.md
      lossconf mutants -j 2 --once
      lossconf mutants --on tcp://scheduler:8786
      lossconf mutants --mutant LAYER/MUTANT
      lossconf mutants --dtype 'float16, loss float32 (computed float32)'
      lossconf mutants --sensitivity
      lossconf mutants --diagnosis --sample 60 --seed 11
    """
    for path in paths:
        if path.suffix not in _FORMATS:
            raise UsageError(f"{path}: cannot tell the format; end the name with {' or '.join(_FORMATS)}")
    if sample is not None and not (diagnosis or choosing):
        raise UsageError("--sample: goes with --diagnosis and --choose-quick")
    if kernels and not drawn:
        raise UsageError("--kernels: goes with --drawn")
    if once and (listing or requirements or sensitivity or diagnosis or drawn or choosing or checkers):
        raise UsageError("--once: is of the matrix, which this does not run")
    if claims and (requirements or diagnosis or drawn or choosing or checkers):
        raise UsageError("--dtype: is of the matrix and of --sensitivity")
    if on:
        refuse_beside("jobs")
    if on and (listing or requirements or sensitivity or checkers):
        raise UsageError("--on: is for the matrix, --drawn and --diagnosis, which take long")
    if sensitivity:
        return _sensitivity(claims or DEFAULT, paths)
    if drawn:
        return _drawn(stems, seed, (count, kernels), _hands(jobs, on), paths)
    mutants = _chosen(ids, stems, bool(claims))
    if listing:
        for mutant in mutants:
            say(f"{mutant.id}\t{mutant.cause.value}\t{mutant.wrong}")
        return ExitCode.CONFORMS
    if requirements:
        return _requirements(mutants)
    if diagnosis:
        return _diagnosis(mutants, sample, seed, _hands(jobs, on), paths)
    if choosing:
        return _choosing(mutants, sample, seed, _hands(jobs, on))
    if checkers:
        return _checkers(mutants, paths)
    return _matrix(mutants, claims or ("",), _hands(jobs, on), paths, once)


@contextmanager
def _hands(jobs: int, on: str) -> Iterator[Hands]:
    """Processes of this machine, or the cluster at an address."""
    if not on:
        yield jobs
        return
    with cluster_at(on) as cluster:
        yield cluster


def _chosen(ids: tuple[str, ...], stems: tuple[str, ...], narrow: bool) -> list[Mutant]:
    whole = half_mutants() if narrow else all_mutants()
    for what, names, known in (
        ("mutant", ids, [mutant.id for mutant in whole]),
        ("layer", stems, list(dict.fromkeys(mutant.stem for mutant in whole))),
    ):
        for name in names:
            if name not in known:
                raise unknown(what, name, known, "lossconf mutants --list")
    return [m for m in whole if (not ids or m.id in ids) and (not stems or m.stem in stems)]


def _shown(results: Iterable[T], count: int) -> list[T]:
    """All of them, with a bar on standard error meanwhile."""
    console = PlainConsole(stderr=True)
    return list(track(results, "mutants", count, console=console, disable=not console.is_terminal))


def _matrix(
    mutants: list[Mutant], claims: tuple[str, ...], working: Working, paths: tuple[Path, ...], once: bool
) -> int:
    started = time.monotonic()
    with working as hands:
        rows = _shown(kill_matrix(mutants, hands, once, claims), len(mutants) * len(claims))
    summary = Summary(rows, time.monotonic() - started, once)
    for line in summary.lines():
        say(line)
    _write(paths, summary.to_json(), summary.to_markdown())
    return _code(summary.as_it_should)


def _requirements(mutants: list[Mutant]) -> int:
    from conformance.mutants.coverage import covered
    from conformance.suite import all_checks

    failed = covered(mutants, tuple(all_checks()))
    missing = [requirement for requirement, mutant in failed.items() if mutant is None]
    for requirement in missing:
        say(f"no mutant fails {requirement}")
    say(f"{len(failed) - len(missing)} of {len(failed)} musts are failed by a mutant")
    return _code(not missing)


def _sensitivity(claims: tuple[str, ...], paths: tuple[Path, ...]) -> int:
    from conformance.mutants.sensitivity import powers, to_markdown

    table = powers(claims)
    page = to_markdown(table)
    say(page, nl=False)
    short = [power for power in table if not power.suffices]
    for power in short:
        say(f"short of 2^-{power.aim}: {power.layer} {power.quantity} {power.dtype}")
    _write(paths, json.dumps([power.to_json() for power in table], indent=1) + "\n", page)
    return _code(not short)


def _drawn(
    stems: tuple[str, ...], seed: int, counts: tuple[int, int], working: Working, paths: tuple[Path, ...]
) -> int:
    from conformance.mutants.drawn.power import drawn_mutants, lines, measured, to_json, to_markdown

    for stem in stems:
        if stem not in KNOWN:
            raise unknown("loss", stem, list(KNOWN), "lossconf mutants --list")
    started = time.monotonic()
    drawn = drawn_mutants(stems or LOSSES, seed, *counts)
    with working as hands:
        found = _shown(measured(drawn, hands), len(drawn))
    rows = [row for row in found if row is not None]
    seconds = time.monotonic() - started
    for line in lines(rows, len(found) - len(rows), seconds):
        say(line)
    _write(paths, to_json(rows, len(found) - len(rows)), to_markdown(rows, len(found) - len(rows), seconds))
    return _code(all(row.killed_by for row in rows))


def _diagnosis(mutants: list[Mutant], sample: int | None, seed: int, working: Working, paths: tuple[Path, ...]) -> int:
    from conformance.mutants.diagnosed import diagnosed, to_markdown, wrong_ones

    chosen = wrong_ones(mutants, sample, seed)
    with working as hands:
        found = _shown(diagnosed(chosen, hands), len(chosen))
    page = to_markdown(found)
    say(page, nl=False)
    _write(paths, json.dumps([each.to_json() for each in found], indent=1) + "\n", page)
    return ExitCode.CONFORMS


def _choosing(mutants: list[Mutant], sample: int | None, seed: int, working: Working) -> int:
    """Print what ``conformance/suite/quick.txt`` is chosen from."""
    from conformance.mutants.choosing import chosen, cost_of, killed, killers_of, kind_of
    from conformance.mutants.diagnosed import wrong_ones
    from conformance.suite import whole_suite

    ours = [mutant for mutant in mutants if profile_of(mutant.stem) == "bvlc"]
    wrong = [mutant.id for mutant in wrong_ones(ours, sample, seed)]
    with working as hands:
        found = _shown(killers_of(wrong, hands), len(wrong))
    killing = {kind for each in found for kind in each.kinds}
    cost = cost_of(check for check in whole_suite() if kind_of(check.id) in killing)
    taken = chosen(found, cost)
    say(f"# {killed(taken, found)} of {len(found)} mutants killed in {sum(cost[kind] for kind in taken):.1f} s")
    for kind in sorted(taken):
        say(kind)
    return ExitCode.CONFORMS


def _checkers(mutants: list[Mutant], paths: tuple[Path, ...]) -> int:
    from conformance.mutants.checkers import compared

    page, whole = compared([mutant for mutant in mutants if mutant.stem in LOSSES])
    say(page, nl=False)
    _write(paths, json.dumps(whole, indent=1) + "\n", page)
    return ExitCode.CONFORMS


def _code(right: bool) -> int:
    return ExitCode.CONFORMS if right else ExitCode.DOES_NOT_CONFORM


def _write(paths: tuple[Path, ...], as_json: str, as_markdown: str) -> None:
    for path in paths:
        put(path, as_json if path.suffix == ".json" else as_markdown)
