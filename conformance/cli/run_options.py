"""Options that several of the commands have which judge."""

from __future__ import annotations

import random

import click

__all__ = ["declines_option", "fresh_option", "new_seed"]


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


declines_option = click.option(
    "--declines",
    multiple=True,
    metavar="LIMIT",
    help="What the implementation does not claim: a requirement (net.*), an option (loss_param.normalize, or =VALUE), "
    "size>N, passes; repeatable. The conclusion names it.",
)

fresh_option = click.option(
    "--fresh",
    type=_Seed(),
    is_flag=False,
    flag_value="0",
    metavar="[SEED]",
    help="Other values in fixed cases, so that answers cannot be remembered; from a seed that the report names.",
)
