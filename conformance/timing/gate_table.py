"""What a gate found, in a terminal, and the exit code that says it to a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.contract.exit_codes import ExitCode
from conformance.timing.gate import NEW, NOT_MEASURED, SAME, SLOWER, Finding, Limits
from conformance.timing.table import shown_seconds

__all__ = ["exit_code", "render_findings"]

STYLES = {SAME: "green", SLOWER: "bold red", NOT_MEASURED: "yellow", NEW: "cyan"}


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """1 where something is slower; else 4 where something was not measured; else 0."""
    verdicts = {finding.verdict for finding in findings}
    if SLOWER in verdicts:
        return ExitCode.DOES_NOT_CONFORM
    return ExitCode.FEWER_CHECKS_THAN_LOCK if NOT_MEASURED in verdicts else ExitCode.CONFORMS


def render_findings(findings: Sequence[Finding], limits: Limits, console: Console) -> ExitCode:
    """Print every finding and a conclusion."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column, justify in (("problem", "left"), ("mode", "left"), ("before", "right"), ("now", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("verdict")
    for finding in findings:
        word = Text(finding.verdict, style=STYLES[finding.verdict])
        if finding.reason:
            word.append(f": {finding.reason}", style="default")
        table.add_row(str(finding.problem), finding.mode, *_numbers(finding), word)
    console.print(table)
    counts = Counter(finding.verdict for finding in findings)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])
    limit = f"slower is {limits.ratio:.3f} times as long and {limits.seconds * 1e6:g} µs more"
    console.print(Text(f"\n{told}; {limit}", style="bold"))
    return exit_code(findings)


def _numbers(finding: Finding) -> tuple[str, str, str]:
    if finding.before is None or finding.now is None or finding.ratio is None:
        return "", "", ""
    low, high = finding.interval
    return (
        shown_seconds(finding.before),
        shown_seconds(finding.now),
        f"{finding.ratio:.3f} [{low:.2f}, {high:.2f}]",
    )
