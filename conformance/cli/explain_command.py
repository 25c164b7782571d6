"""``lossconf explain``: what is wrong with one failing case, and what it most likely comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.case_lines import arrays_of, given, titled
from conformance.contract.dtypes import NAMES

if TYPE_CHECKING:
    from conformance.cli.failing_case import FailingCase
    from conformance.diagnosis.exhibit import Exhibit, Shown

__all__ = ["command"]

_ALSO = 3
"""Other causes that are named beside the likeliest."""

_LISTED = 12
"""Wrong elements of an array that are listed."""


_LONGEST_LINE = 20_000


@click.command("explain")
@click.argument("report", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("case")
@click.option("--dtype", type=click.Choice(NAMES), help="Which type, where both failed.")
def command(report: Path, case: str, dtype: str | None) -> int:
    """Explain why CASE failed in REPORT: the likely cause, the formula, the net, the first wrong element.

    \b
    Examples:
      lossconf explain report.jsonl hinge_loss/grid-006
      lossconf explain report.jsonl 'hinge_loss/grid-006[float64]'
    """
    from conformance.cli.failing_case import failing_case
    from conformance.diagnosis.exhibit import exhibit_of
    from conformance.views.text import printable

    found = failing_case(report, case, dtype)
    exhibit = exhibit_of(found.evidence, found.report.header["dialect"]) if found.evidence else None
    for line in _lines(found, exhibit):
        click.echo(printable(line, _LONGEST_LINE))
    return 0


def _lines(found: FailingCase, exhibit: Exhibit | None) -> Iterator[str]:
    from conformance.contract.errors import one_line
    from conformance.requirements import CATALOGUE

    first = found.broken[0].verdict
    yield f"{one_line(first.check)} in {first.dtype}"
    for judged in found.broken:
        verdict = judged.verdict
        requirement = CATALOGUE.get(verdict.requirement)
        yield f"  {verdict.requirement} {verdict.status.value} ({verdict.level.value})"
        yield from ([f"      {requirement.statement} [{requirement.citation}]"] if requirement else [])
        yield from ([f"      {one_line(verdict.reason)}"] if verdict.reason else [])
    yield from _cause(found)
    if exhibit is None:
        why = found.evidence.left_out if found.evidence else "the report has none"
        yield from titled("case")
        yield f"  not kept: {why or 'the check runs several nets'}; `lossconf list checks` names the check to run again"
        return
    yield from _wrong(exhibit, found.report.header["dialect"])
    if exhibit.formula:
        yield from titled("formula")
        yield from (f"  {line}" for line in exhibit.formula.splitlines())
    yield from titled("net")
    yield from (f"  {line}" for line in exhibit.case.net.strip().splitlines())
    yield from given(exhibit.case)
    for shown in exhibit.wrong:
        yield from arrays_of(shown.title, {"got ": shown.got, "want": shown.want})


def _cause(found: FailingCase) -> Iterator[str]:
    yield from titled("likely cause")
    if found.cause is None:
        yield "  none is named: nothing of the case is in the report"
        return
    yield f"  {found.cause.sentence} [{found.cause.value}]"
    if found.evidence is None:
        return
    others = [c for c in found.evidence.causes if c is not found.cause and c.value != "unnameable"][:_ALSO]
    if others:
        yield f"  it would also fit: {'; '.join(cause.sentence for cause in others)}"


def _wrong(exhibit: Exhibit, dialect: str | None) -> Iterator[str]:
    from conformance.contract.errors import one_line
    from conformance.contract.outcome import Refusal
    from conformance.diagnosis.exhibit import expected_by

    answer = exhibit.evidence.answer
    if isinstance(answer, Refusal):
        yield from titled(f"refused at {answer.stage}")
        yield f"  {one_line(answer.message)}"
        return
    if answer is None:
        yield from titled("answer")
        yield "  the report has none"
        return
    if not exhibit.arrays:
        expected = expected_by(exhibit, dialect)
        if isinstance(expected, Refusal):
            yield from titled("answer")
            yield f"  it computes what Caffe refuses: {one_line(expected.message)}"
            return
    for shown in exhibit.wrong:
        yield from titled(f"{one_line(shown.title)}: {shown.wrong} of {shown.got.size} element(s) out of bounds")
        yield from _elements(shown)
    if not exhibit.wrong:
        yield from titled("answer")
        yield "  every array is within its bounds: what failed is a relation between several runs, or no array at all"


def _elements(shown: Shown) -> Iterator[str]:
    import numpy as np

    errors = shown.in_bounds()
    for at in np.argwhere(shown.rejected)[:_LISTED]:
        index = tuple(int(i) for i in at)
        place = f"[{', '.join(map(str, index))}]" if index else ""
        numbers = f"got {shown.got[index]:.9g}, want {shown.want[index]:.9g} within {shown.bound[index]:.2g}"
        yield f"  {place:<12} {numbers}  ({errors[index]:.3g} bounds)"
    if shown.wrong > _LISTED:
        yield f"  and {shown.wrong - _LISTED} more"
