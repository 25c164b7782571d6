"""``lossconf baseline``: write what is known to fail, and what has to run, from a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.saying import say

if TYPE_CHECKING:
    from conformance.gate import Baseline

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("baseline", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write the files that `lossconf check` and `lossconf run` hold a report against.

    \b
    Examples:
      lossconf baseline update --from report.jsonl
      lossconf baseline lock --from report.jsonl
    """


@command.command("update")
@click.option("--from", "report", type=_FILE, required=True, metavar="REPORT", help="The report to fit.")
@click.option("--baseline", type=_FILE, default="baseline.toml", show_default=True, help="The file to write.")
@click.option("--this-device", is_flag=True, help="New failures are known on the device of this report only.")
@click.option("--pin", is_flag=True, help="Pin the suite version of this report: what is newer shuts no gate.")
def update(report: Path, baseline: Path, this_device: bool, pin: bool) -> int:
    """Take new failures and what was not decided into the baseline, and what is gone out of it.

    Reasons, issues and days of expiry stay; what the report says nothing of stays, too. New entries name the likely
    cause; write what you know in its place.
    """
    from conformance.contract.paths import refuse_same
    from conformance.gate import Baseline, decision_on, read_baseline, write_baseline
    from conformance.gate.update import updated
    from conformance.record.reader import read_report
    from conformance.record.whole import refuse_quick

    refuse_same(baseline, report)
    before, found = read_baseline(baseline) if baseline.exists() else Baseline(path=baseline), read_report(report)
    refuse_quick(found, report)
    after = updated(before, found, this_device, pin)
    write_baseline(after)
    was, now = (len(decision_on(found, each, None).known) for each in (before, after))
    gone = len(_ids(before) - _ids(after))
    say(
        f"{baseline}: {now} failure(s) known in {len(after.known)} entries; {now - was} new, {gone} check(s) gone"
        + (f"; {len(after.declined)} requirement(s) need not be decided" if after.declined else "")
        + (f"; suite {after.suite} is pinned" if after.suite else "")
    )
    return 0


def _ids(baseline: Baseline) -> set[tuple[str, str]]:
    return {(known.requirement, check) for known in baseline.known for check in known.checks}


@command.command("lock")
@click.option(
    "--from", "report", type=_FILE, required=True, metavar="REPORT", help="The report of a run that went to its end."
)
@click.option("--lock", type=_FILE, default="lossconf.lock", show_default=True, help="The file to write.")
def lock(report: Path, lock: Path) -> int:
    """Lock the checks that ran: none may be missing, or decide less, from now on.

    Of a run on a selection, the lock holds that part of the suite and says so. Refuses a share, and a report that is
    incomplete.
    """
    from conformance.contract.errors import UsageError
    from conformance.contract.paths import refuse_same
    from conformance.gate import Lock, write_lock
    from conformance.record.conclusion import Conclusion
    from conformance.record.reader import read_report
    from conformance.record.whole import refuse_quick

    refuse_same(lock, report)
    found = read_report(report)
    refuse_quick(found, report)
    concluded = Conclusion(found)
    if concluded.share or not found.complete:
        raise UsageError(f"{report} is a share of a run, or incomplete: lock the report of a run that went to its end")
    made = Lock.of(found, lock)
    write_lock(made)
    chosen = f"; a part of the suite: {concluded.selected}" if concluded.selected else ""
    say(f"{lock}: {len(made.counts)} checks, {sum(made.counts.values())} verdicts, suite {made.suite}{chosen}")
    return 0
