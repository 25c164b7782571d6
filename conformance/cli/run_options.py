"""Options that several of the commands have which judge."""

from __future__ import annotations

import os
import random

import click

from conformance.cli.completing import families, golden_cases
from conformance.cli.numbers import Finite

__all__ = [
    "cases_option",
    "declines_option",
    "dialect_option",
    "families_option",
    "fresh_option",
    "new_seed",
    "timeout_option",
    "workers_option",
]

_MOST_WORKERS = 4
"""Processes by default: an implementation may need much memory, and has a process in each."""


class _Seed(click.ParamType[int]):
    """A number from 1; 0 where ``--fresh`` has none, and one is drawn."""

    name = "SEED"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not (str(value).isdecimal() and int(str(value)) < 2**31):
            self.fail(f"{value!r} is no seed: use a whole number, or --fresh as the last word", param, ctx)
        return int(str(value))


def new_seed() -> int:
    """A seed that nobody chose."""
    return random.SystemRandom().randrange(1, 2**31)


dialect_option = click.option(
    "--dialect",
    type=click.Choice(["documented", "bvlc"]),
    help="Ask for one dialect; without it, either side of a quirk will do.",
)

families_option = click.option(
    "--family", "families", multiple=True, shell_complete=families, help="Only this family of checks; repeatable."
)

cases_option = click.option(
    "--case", "checks", multiple=True, shell_complete=golden_cases, metavar="ID", help="Only this check; repeatable."
)

workers_option = click.option(
    "-j",
    "workers",
    type=click.IntRange(0, 64),
    default=lambda: min(os.cpu_count() or 1, _MOST_WORKERS),
    show_default=f"one per core, at most {_MOST_WORKERS}",
    help="Processes to run in, each with its own implementation; 0: this one, for a debugger.",
)

timeout_option = click.option(
    "--timeout",
    type=Finite(0.1, 1e7),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds that one case may take.",
)

declines_option = click.option(
    "--declines",
    multiple=True,
    metavar="LIMIT",
    help="What the implementation does not claim: a requirement (net.*), an option (loss_param.normalize, or =VALUE), "
    "TYPE:tops>N, size>N, passes; repeatable. The conclusion names it.",
)

fresh_option = click.option(
    "--fresh",
    type=_Seed(),
    is_flag=False,
    flag_value="0",
    metavar="[SEED]",
    help="Other values in fixed cases, so that answers cannot be remembered; from a seed that the report names.",
)
