"""``lossconf list``: what there is, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from conformance.cli.completing import layers
from conformance.cli.saying import say

__all__ = ["command"]

Row = tuple[str, ...]


def _cases(layer: str | None) -> Iterator[Row]:
    from conformance.fixtures import load_all

    for fixture in load_all():
        if layer in (None, fixture.family):
            yield fixture.id, fixture.purpose


def _checks(layer: str | None) -> Iterator[Row]:
    from conformance.losses import PROFILES
    from conformance.suite import all_checks

    for check in all_checks(profiles=tuple(PROFILES)):
        if layer in (None, check.layer):
            yield check.id, check.family, check.layer, ",".join(check.dtypes), "core" if check.core else "large"


def _requirements(layer: str | None) -> Iterator[Row]:
    from conformance.requirements import CATALOGUE

    for requirement in CATALOGUE.values():
        if layer in (None, requirement.id.partition(".")[0]):
            yield requirement.id, requirement.level.value, f"{requirement.statement} [{requirement.citation}]"


def _implementations(layer: str | None) -> Iterator[Row]:
    from conformance.adapters import spellings

    for spelling in spellings().values():
        yield spelling.form, spelling.what


def _losses(layer: str | None) -> Iterator[Row]:
    from conformance.losses import KNOWN

    for stem, loss in KNOWN.items():
        if layer in (None, stem):
            forms = ",".join(form.name for form in loss.layer.forms) or "bvlc"
            yield stem, loss.type, loss.profile, forms, "recorded" if loss.recorded else "read, not measured"


def _words(layer: str | None) -> Iterator[Row]:
    from conformance.views.words import FAMILIES, WORDS

    if layer is None:
        yield from WORDS.items()
        yield from ((f"family {name}", f"Checks about {what}.") for name, what in FAMILIES.items())


KINDS: dict[str, Callable[[str | None], Iterator[Row]]] = {
    "cases": _cases,
    "checks": _checks,
    "requirements": _requirements,
    "implementations": _implementations,
    "losses": _losses,
    "words": _words,
}


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)), default="cases")
@click.option(
    "--layer",
    shell_complete=layers,
    help="Only those about this layer, as ids spell it; also net, refusal and the other families.",
)
@click.option("--count", is_flag=True, help="Print how many there are, and nothing else.")
def command(kind: str, layer: str | None, count: bool) -> int:
    """List golden cases, checks, requirements, implementations, losses, or the words that reports use.

    \b
    A case is a net with what an oracle computed for it; a check is an item of the suite; a requirement is one
    sentence that can be false.

    \b
    Examples:
      lossconf list cases --layer LAYER
      lossconf list requirements
      lossconf list checks --count
    """
    from conformance.contract.errors import UsageError

    rows = list(KINDS[kind](layer))
    if not rows:
        raise UsageError(f"no {kind} about {layer!r}; `lossconf list {kind}` lists them all")
    if count:
        say(len(rows))
        return 0
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
    return 0
