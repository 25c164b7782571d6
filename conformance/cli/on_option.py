"""``--on``: work that is done by the workers of a cluster, for the commands that can do so."""

from __future__ import annotations

import click
from click.core import ParameterSource

from conformance.contract.errors import UsageError

__all__ = ["on_option", "refuse_beside"]

on_option = click.option(
    "--on",
    default="",
    metavar="ADDRESS",
    help="Run on a Dask cluster (an extra): tcp://HOST:PORT of its scheduler, or local:N for N workers here.",
)


def refuse_beside(*names: str, option: str = "--on", why: str = "the work is not done in processes here") -> None:
    """Raises `UsageError` where one of these parameters was given beside an option; beside ``--on`` those that are
    about processes here."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"{option}: does not go with {parameter.opts[0]}; {why}")
