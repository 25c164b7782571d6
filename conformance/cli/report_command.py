"""``lossconf report``: a report that was written before, as text, a page, or what other tools read."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conformance.gate import Baseline
    from conformance.record.report import Report

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


FORMATS = {
    "html": ("one HTML file, complete in itself", "conformance.views.html", "html_page"),
    "junit": ("JUnit XML", "conformance.views.junit", "junit_xml"),
    "json": ("the conclusion as JSON, for scripts", "conformance.views.conclusion", "conclusion_json"),
    "markdown": ("Markdown, as for the summary of a CI step", "conformance.views.markdown", "markdown_page"),
    "badge": ("the JSON of a shields.io badge", "conformance.views.badge", "badge_json"),
}
"""What each format is, and the module and function that render a report and the known failures in it."""


def _formats(function: Callable[..., int]) -> Callable[..., int]:
    """An option for each format, for the file that it goes to."""
    for name, (what, _, _) in reversed(FORMATS.items()):
        helped = f"Write {what}; - is standard output."
        function = click.option(f"--{name}", type=_FILE, metavar="FILE", help=helped)(function)
    return function


@click.command("report")
@click.argument("path", type=_FILE, default="report.jsonl")
@_formats
@click.option("--baseline", type=_FILE, help="The failures that are known: shown as such.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a report's lines instead.")
def command(path: Path, baseline: Path | None, schema: bool, **formats: Path | None) -> int:
    """Print the report in PATH (default: report.jsonl) as `lossconf run` printed it, or write it in other formats.

    \b
    Examples:
      lossconf report
      lossconf report report.jsonl --html report.html --junit junit.xml
      lossconf report --markdown - >> "$GITHUB_STEP_SUMMARY"
      lossconf report --schema > report.schema.json
    """
    import json

    from conformance.contract.paths import refuse_same
    from conformance.gate import read_baseline
    from conformance.record.reader import read_report
    from conformance.record.shape import schema as line_schema
    from conformance.views.terminal import output, render

    if schema:
        click.echo(json.dumps(line_schema(), indent=2))
        return 0
    report, known = read_report(path), read_baseline(baseline) if baseline else None
    written = {form: place for form, place in formats.items() if place is not None}
    for place in written.values():
        refuse_same(place, path, baseline)
    for form, place in written.items():
        _write(place, _rendered(form, report, known))
    if not written:
        render(report, output(), str(path))
    return 0


def _rendered(form: str, report: Report, baseline: Baseline | None) -> str:
    """The report in one format; only its module is imported."""
    _, module, function = FORMATS[form]
    text: str = getattr(import_module(module), function)(report, baseline)
    return text


def _write(place: Path, text: str) -> None:
    from conformance.contract.paths import put

    if str(place) == "-":
        click.echo(text, nl=False)
        return
    put(place, text)
    click.echo(f"wrote {place} ({math.ceil(len(text) / 1000)} kB)", err=True)
