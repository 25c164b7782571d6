"""``lossconf check``: a report held against a baseline and a lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.saying import say

if TYPE_CHECKING:
    from conformance.gate import Decision

__all__ = ["command", "decided"]

_SHOWN = 20
"""Objections of one kind that are printed; the rest are counted."""


@click.command("check")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="report.jsonl")
@click.option("--baseline", type=click.Path(dir_okay=False, path_type=Path), help="The failures that are known.")
@click.option("--lock", type=click.Path(dir_okay=False, path_type=Path), help="The checks that have to run.")
@click.option("--require-fresh", "fresh", is_flag=True, help="Take no report but one of `lossconf run --fresh`.")
def command(path: Path, baseline: Path | None, lock: Path | None, fresh: bool) -> int:
    """Say whether the report in PATH (default: report.jsonl) may pass a gate.

    \b
    It may not, and the exit code says why:
      1  a failure that the baseline does not know
      7  something owed and claimed was not decided, and no [[declined]] entry accepts that; or the report is a share,
         or on published values where --require-fresh asks for others
      3  the baseline is stale: an unexpected pass, an id that matches nothing, an expired entry
      4  a check of the lock did not run, or decided less than it did
      5  the suite broke, or the run was stopped before its end

    \b
    Examples:
      lossconf check
      lossconf check report.jsonl --baseline baseline.toml --lock lossconf.lock
    """
    return decided(path, baseline, lock, fresh)


def decided(path: Path, baseline: Path | None, lock: Path | None, fresh: bool = False) -> int:
    """Print what a gate says of the report, and give its exit code."""
    from conformance.gate import decision_on, read_baseline, read_lock
    from conformance.record.conclusion import Conclusion
    from conformance.record.reader import read_report

    report, known = read_report(path), read_baseline(baseline) if baseline else None
    decision = decision_on(report, known, read_lock(lock) if lock else None, fresh=fresh)
    say(Conclusion(report, len(decision.known), len(decision.accepted)).line)
    for line in _lines(decision):
        say(line)
    return int(decision.code)


def _lines(decision: Decision) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for objection in decision.objections:
        kinds.setdefault(objection.kind, []).append(objection.sentence)
    lines: list[str] = []
    for kind, members in kinds.items():
        lines.append(f"{kind} ({len(members)})")
        lines += [f"  {sentence}" for sentence in members[:_SHOWN]]
        lines += [f"  and {len(members) - _SHOWN} more"] if len(members) > _SHOWN else []
    lines += [f"note: {note}" for note in decision.notes]
    known = f"; {len(decision.known)} known failure(s)" if decision.known else ""
    known += f"; {len(decision.accepted)} undecided must(s) accepted" if decision.accepted else ""
    verdict = "the gate is open" if not decision.objections else "the gate is shut"
    return [*lines, f"{verdict}{known}"]
