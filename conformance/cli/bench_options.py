"""What the commands of ``lossconf bench`` have in common: their options, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from conformance.cli.completing import layers
from conformance.cli.numbers import Finite
from conformance.cli.saying import say
from conformance.contract.dtypes import DEFAULT, NAMES

if TYPE_CHECKING:
    from conformance.timing.problem import Problem

__all__ = ["chosen_threads", "note", "patience_option", "problems_of", "started", "timing_options"]

T = TypeVar("T")


def timing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--layer``, ``--size``, ``--dtype``, ``--mode`` and ``--threads``."""
    options = (
        click.option(
            "--layer",
            "layers",
            multiple=True,
            shell_complete=layers,
            metavar="NAME",
            help="Only this layer, as ids of cases spell it.",
        ),
        click.option(
            "--size", "sizes", multiple=True, metavar="SIZE", help="tiny to huge, or a shape as in 1024x1000."
        ),
        click.option("--dtype", "dtypes", multiple=True, type=click.Choice(NAMES)),
        click.option("--mode", "modes", multiple=True, type=click.Choice(["forward", "backward", "both"])),
        click.option("--threads", type=click.IntRange(1), help="Threads that each may use; default: all cores."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def patience_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--patience``."""
    return click.option(
        "--patience",
        type=Finite(0),
        default=0.0,
        metavar="MINUTES",
        help="Wait for a quiet machine, and measure again what was disturbed, for so long.",
    )(function)


def problems_of(layers: tuple[str, ...], sizes: tuple[str, ...], dtypes: tuple[str, ...]) -> tuple[Problem, ...]:
    """Every layer asked for (or all of BVLC Caffe's) in every size and type. Raises `UsageError` for names that do not
    exist."""
    from conformance.contract.errors import UsageError, unknown
    from conformance.losses import LOSSES
    from conformance.timing.problem import Problem, timed_losses
    from conformance.timing.sizes import size_named

    for name in layers:
        if name not in timed_losses():
            raise unknown("layer", name, timed_losses())
    try:
        shapes = [size_named(size) for size in sizes]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return tuple(
        Problem(layer, size, dtype) for dtype in dtypes or DEFAULT for layer in layers or LOSSES for size in shapes
    )


def chosen_threads(asked: int | None) -> int:
    """As many as were asked for, or as the kernels take by themselves."""
    from refimpl.fast.cpu.threads import available_threads

    return asked or available_threads()


def note(line: str) -> None:
    """A line on standard error, about how far things are."""
    say(line, err=True)


def started(work: Callable[[], T]) -> T:
    """What the work returns; an implementation that does not start ends the command as it does everywhere."""
    from conformance.contract.errors import Stopped
    from conformance.contract.exit_codes import ExitCode
    from conformance.timing.subjects import NotTimed

    try:
        return work()
    except NotTimed as reason:
        raise Stopped(ExitCode.DOES_NOT_START, str(reason)) from None
