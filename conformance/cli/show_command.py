"""``lossconf show``: one golden case, readable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.completing import golden_cases
from conformance.cli.saying import say
from conformance.contract.dtypes import DEFAULT, DOUBLE
from conformance.views.case import arrays_of, given, titled

if TYPE_CHECKING:
    from conformance.fixtures import Fixture

__all__ = ["command"]


@click.command("show")
@click.argument("case", shell_complete=golden_cases)
@click.option("--dtype", type=click.Choice(DEFAULT), default=DOUBLE.name, show_default=True, help="Whose answer.")
def command(case: str, dtype: str) -> int:
    """Print CASE, the id of a golden case or a fixture's .json file: its net, its inputs, and what the oracle computed.

    \b
    Examples:
      lossconf show CASE
      lossconf show fixtures/error/E-batch-mismatch.json --dtype float32
    """
    from conformance.fixtures import load, read

    fixture = read(Path(case)) if case.endswith(".json") else load(case)
    for line in _lines(fixture, dtype):
        say(line)
    return 0


def _lines(fixture: Fixture, dtype: str) -> Iterator[str]:
    from conformance.requirements import CATALOGUE

    yield fixture.id
    yield f"  {fixture.purpose}"
    dialects = "both dialects" if fixture.dialect == "both" else f"the {fixture.dialect} dialect"
    yield f"  an answer in {dialects}, from {' '.join(map(str, fixture.provenance.values()))}"
    if fixture.tags:
        yield f"  tags: {', '.join(fixture.tags)}"
    yield from titled("serves")
    for requirement in fixture.requirements:
        known = CATALOGUE.get(requirement)
        yield f"  {requirement}" + (f": {known.statement}" if known else "")
    yield from titled("net")
    yield from (f"  {line}" for line in fixture.case.net.strip().splitlines())
    yield from given(fixture.case)
    yield from _expected(fixture, dtype)


def _expected(fixture: Fixture, dtype: str) -> Iterator[str]:
    from conformance.contract.outcome import Refusal

    answer = fixture.expected(dtype)
    if isinstance(answer, Refusal):
        yield from titled(f"refused at {answer.stage}")
        yield f"  {answer.message}"
        return
    yield from titled(f"loss, {dtype}")
    yield f"  {answer.loss!r}"
    yield from arrays_of(
        "data", {name: array for name, array in answer.data.items() if name not in fixture.case.inputs}
    )
    yield from arrays_of("diff", answer.diff)
    yield from arrays_of(
        "parameter diffs",
        {f"{layer}[{i}]": a for layer, arrays in answer.param_diff.items() for i, a in enumerate(arrays)},
    )
