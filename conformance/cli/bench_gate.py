"""``lossconf bench gate``: is anything slower than it was?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.bench_options import chosen_threads, note, problems_of, started, timing_options
from conformance.cli.completing import implementations
from conformance.cli.numbers import Finite
from conformance.contract.dtypes import FLOAT

if TYPE_CHECKING:
    from conformance.timing.gate import Finding, Limits
    from conformance.timing.problem import Problem

__all__ = ["gate"]

SIZES = ("tiny", "classifier", "large")
DTYPES = (FLOAT.name,)
MODES = ("both",)

OWN = "numba-cpu"


@click.command("gate")
@click.argument("implementation", default=OWN, shell_complete=implementations)
@click.option("--against", required=True, metavar="REV|FILE|...", help="What it was: see above.")
@click.option(
    "--slowdown",
    type=Finite(1, 1000),
    default=20.0,
    show_default=True,
    metavar="PERCENT",
    help="The least slowdown that must not be missed.",
)
@click.option(
    "--at-least",
    "microseconds",
    type=Finite(0),
    default=0.2,
    show_default=True,
    metavar="US",
    help="Microseconds per call below which no difference matters.",
)
@timing_options
def gate(
    implementation: str,
    against: str,
    slowdown: float,
    microseconds: float,
    layers: tuple[str, ...],
    sizes: tuple[str, ...],
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    threads: int | None,
) -> int:
    """Say whether IMPLEMENTATION (default: numba-cpu) is slower than what --against names.

    \b
    --against takes
      a revision of this checkout     both versions of the kernels, in turn, on this machine
      another checkout's folder       the same
      an implementation               as for `lossconf run`: the two are timed in turn
      a result of `lossconf bench`    times of the past, if the machine is what it was then

    A problem is slower, not slower, or not measured: noise is no verdict. Ends with 0 where nothing is slower, 1 where
    something is, 4 where nothing is known to be slower and something was not measured.

    \b
    Examples:
      lossconf bench gate --against HEAD~1
      lossconf bench gate --against main --layer LAYER --size large
      lossconf bench gate process:./new --against process:./old --slowdown 10
    """
    from conformance.timing.gate import Limits
    from conformance.timing.gate_table import render_findings
    from conformance.views.terminal import output

    limits = Limits(slowdown / 100, microseconds * 1e-6)
    problems = problems_of(layers, sizes or SIZES, dtypes or DTYPES)
    found = _findings(implementation, against, problems, modes or MODES, limits, chosen_threads(threads))
    return render_findings(found, limits, output())


def _findings(
    spec: str, against: str, problems: Sequence[Problem], modes: Sequence[str], limits: Limits, threads: int
) -> list[Finding]:
    """Raises `UsageError` for an ``--against`` that names nothing."""
    from conformance.contract.errors import UsageError
    from conformance.timing.against import extracted, is_implementation, is_tree
    from conformance.timing.contestants import Hosted, contestant
    from conformance.timing.gate import gate as run_gate

    if Path(against).is_file():
        return _against_file(Path(against), spec, problems, modes, limits, threads)
    if is_implementation(against):
        before, now = partial(contestant, against, threads), partial(contestant, spec, threads)
        return started(lambda: run_gate(before, now, problems, modes, limits, note))
    if spec != OWN:
        raise UsageError(f"a revision or a checkout holds an older {OWN}; for {spec} name an implementation or a file")
    with tempfile.TemporaryDirectory(prefix="lossconf-") as folder:
        root = Path(__file__).resolve().parents[2]
        tree = Path(against).resolve() if is_tree(Path(against)) else extracted(against, Path(folder), root)
        older, own = partial(Hosted, OWN, threads, tree), partial(contestant, OWN, threads)
        return started(lambda: run_gate(older, own, problems, modes, limits, note))


def _against_file(
    path: Path, spec: str, problems: Sequence[Problem], modes: Sequence[str], limits: Limits, threads: int
) -> list[Finding]:
    """Measure now what the file has of the problems, and compare. Raises `UsageError` where it has none of them."""
    from conformance.contract.errors import UsageError
    from conformance.timing.measure import Plan, measure
    from conformance.timing.recorded import against_result
    from conformance.timing.result import read_result

    then = read_result(path)
    known = tuple(problem for problem in problems if then.find(problem) is not None)
    if not known:
        raise UsageError(f"{path} has none of the problems asked for; --layer, --size and --dtype choose others")
    plan = Plan((spec,), known, tuple(modes), threads, then.rounds, judged=False)
    return against_result(then, started(lambda: measure(plan, note)), limits)
