"""``lossconf show``: one golden case, readable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conformance.case import Array, Case
    from conformance.fixtures import Fixture

__all__ = ["command"]


@click.command("show")
@click.argument("case")
@click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True, help="Whose answer."
)
def command(case: str, dtype: str) -> int:
    """Print CASE, the id of a golden case or a fixture's .json file: its net, its inputs, and what the oracle computed.

    \b
    Examples:
      lossconf show hinge_loss/grid-006
      lossconf show fixtures/error/E-batch-mismatch.json --dtype float32
    """
    from conformance.fixtures import load, read

    fixture = read(Path(case)) if case.endswith(".json") else load(case)
    for line in _lines(fixture, dtype):
        click.echo(line)
    return 0


def _lines(fixture: Fixture, dtype: str) -> Iterator[str]:
    from conformance.requirements import CATALOGUE

    yield fixture.id
    yield f"  {fixture.purpose}"
    dialects = "both dialects" if fixture.dialect == "both" else f"the {fixture.dialect} dialect"
    yield f"  an answer in {dialects}, from {' '.join(map(str, fixture.provenance.values()))}"
    if fixture.tags:
        yield f"  tags: {', '.join(fixture.tags)}"
    yield from _titled("serves")
    for requirement in fixture.requirements:
        known = CATALOGUE.get(requirement)
        yield f"  {requirement}" + (f": {known.statement}" if known else "")
    yield from _titled("net")
    yield from (f"  {line}" for line in fixture.case.net.strip().splitlines())
    yield from _given(fixture.case)
    yield from _expected(fixture, dtype)


def _given(case: Case) -> Iterator[str]:
    yield from _arrays("inputs", case.inputs)
    yield from _arrays(
        "parameters", {f"{layer}[{i}]": a for layer, arrays in case.params.items() for i, a in enumerate(arrays)}
    )
    for title, values in (
        ("diffs before the first forward", case.prefill_diff),
        ("diffs set after each forward", case.top_diff),
    ):
        if values:
            yield from _titled(title)
            yield from (f"  {blob} = {value:g}" for blob, value in values.items())
    if case.files:
        yield from _titled("files")
        yield from (f"  {name}: {len(content)} bytes" for name, content in case.files.items())
    yield from _titled("steps")
    yield f"  {', '.join(case.steps)} in phase {case.phase}"


def _expected(fixture: Fixture, dtype: str) -> Iterator[str]:
    from conformance.outcome import Refusal

    answer = fixture.expected(dtype)
    if isinstance(answer, Refusal):
        yield from _titled(f"refused at {answer.stage}")
        yield f"  {answer.message}"
        return
    yield from _titled(f"loss, {dtype}")
    yield f"  {answer.loss!r}"
    yield from _arrays("data", {name: array for name, array in answer.data.items() if name not in fixture.case.inputs})
    yield from _arrays("diff", answer.diff)
    yield from _arrays(
        "parameter diffs",
        {f"{layer}[{i}]": a for layer, arrays in answer.param_diff.items() for i, a in enumerate(arrays)},
    )


def _titled(title: str) -> Iterator[str]:
    yield ""
    yield title


def _arrays(title: str, arrays: Mapping[str, Array]) -> Iterator[str]:
    import numpy as np

    if not arrays:
        return
    yield from _titled(title)
    for name, array in arrays.items():
        text = np.array2string(array, threshold=200, max_line_width=110, precision=9)
        rows = text.splitlines()
        yield f"  {name} {array.shape}" + (f" {rows[0]}" if len(rows) == 1 else "")
        yield from (f"    {row}" for row in rows if len(rows) > 1)
