"""Several runs side by side, a column to each: as text, as a Markdown table, and as a page of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from conformance.record.conclusion import Musts
from conformance.record.merging import Column
from conformance.record.report import net_last
from conformance.views.text import markdown

__all__ = ["html_table", "markdown_table", "plain_table"]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Runs side by side</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
body {{ margin: 2rem }}
table {{ border-collapse: collapse }}
th, td {{ padding: 0.3rem 0.8rem; border-bottom: 1px solid #8886; text-align: right; vertical-align: top }}
th:first-child {{ text-align: left; font-weight: normal }}
td {{ font-variant-numeric: tabular-nums; max-width: 24rem }}
.short {{ color: light-dark(#a40000, #ff8a80); font-weight: bold }}
</style>
<h1>Runs side by side</h1>
<table>
{table}
</table>
</html>
"""


def plain_table(columns: Sequence[Column]) -> Iterator[str]:
    """Lines of text, the columns aligned."""
    rows = list(_rows(columns))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def markdown_table(columns: Sequence[Column]) -> Iterator[str]:
    """Lines of a Markdown table."""
    head, *rows = _rows(columns)
    yield f"| {' | '.join(map(markdown, head))} |"
    yield f"|---|{'---:|' * len(columns)}"
    yield from (f"| {' | '.join(map(markdown, row))} |" for row in rows)


def html_table(columns: Sequence[Column]) -> str:
    """A page that fetches and runs nothing; where fewer passed than were claimed, the cell stands out."""
    head, *rows = _rows(columns)
    lines = ["<tr>" + "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head) + "</tr>"]
    for name, *cells in rows:
        short = [musts is not None and musts.passed < musts.claimed for musts in (c.cells.get(name) for c in columns)]
        marks = [' class="short"' if each else "" for each in short]
        told = "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, cells, strict=True))
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{told}</tr>')
    return _PAGE.format(table="\n".join(lines))


def _rows(columns: Sequence[Column]) -> Iterator[list[str]]:
    yield ["musts passed", *(column.label for column in columns)]
    stems = sorted({stem for column in columns for stem in column.cells}, key=net_last)
    for stem in stems:
        yield [stem, *(_cell(column.cells.get(stem)) for column in columns)]
    yield ["conclusion", *(column.conclusion for column in columns)]


def _cell(musts: Musts | None) -> str:
    """How many passed, of how many that are claimed."""
    if musts is None or not musts.claimed:
        return "-"
    return str(musts.passed) if musts.passed == musts.claimed else f"{musts.passed} of {musts.claimed}"
