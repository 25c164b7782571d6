"""Saying: what commands print, whoever wrote it: nothing in it moves a cursor, rings or changes a colour."""

from __future__ import annotations

import click

from conformance.contract.errors import printable

__all__ = ["say"]


def say(text: object, err: bool = False, nl: bool = True) -> None:
    """Print a text on standard output, or on standard error; ``nl`` ends it with a newline."""
    click.echo(printable(str(text)), err=err, nl=nl)
