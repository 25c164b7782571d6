"""The project's own scoreboard: its reports, what is kept of them, its page and its site.

``python -m docs.scoreboard run FOLDER [NAME...]`` makes reports, ``python -m docs.scoreboard take FOLDER`` keeps what
they come to in scoreboard.json, and ``python -m docs.scoreboard`` draws scoreboard.md from that. Reports are megabytes
and are not kept; the site is made from scoreboard.json where the pages are (conf.py), or by ``lossconf scoreboard``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from conformance.contract.paths import put
from conformance.contract.toml import read_toml
from conformance.diagnosis.diagnosis import causes_of
from conformance.gate import Baseline, Known
from conformance.gate.gate import broken
from conformance.record.reader import read_report
from conformance.record.report import Report
from conformance.views.scoreboard import Entry, Scoreboard, added, entry_of, read_scoreboard, write_site
from conformance.views.text import markdown

__all__ = ["KEPT", "PAGE", "SUBJECTS", "drawn", "site"]

ROOT = Path(__file__).resolve().parent.parent
PAGE, KEPT = ROOT / "docs" / "scoreboard.md", ROOT / "docs" / "scoreboard.json"
_FILE = read_toml(ROOT / "docs" / "scoreboard.toml", "the scoreboard's file")
SUBJECTS: list[dict[str, Any]] = _FILE["subject"]
_BETWEEN = re.compile(r"(?<=<!-- drawn by docs/scoreboard.py -->\n).*?(?=<!-- end -->)", re.DOTALL)


def run(folder: Path, names: list[str]) -> None:
    """Make the reports of these subjects, or of all; one that its environment lacks is said and left out."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        spec = os.path.expandvars(subject["spec"])
        if names and subject["name"] not in names:
            continue
        if "$" in spec:
            print(f"{subject['name']}: not run, {spec} is not set")
            continue
        command = [sys.executable, "-m", "conformance", "run", spec, *subject.get("options", ())]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        ended = subprocess.run(
            [*command, "--report", str(folder / f"{subject['name']}.jsonl")],
            cwd=ROOT / subject.get("folder", "."),
            env={**os.environ, "PYTHONPATH": path},
        )
        print(f"{subject['name']}: ended with {ended.returncode}")


def take(folder: Path) -> None:
    """Keep what the reports in a folder come to; of a subject that has none there what was kept before."""
    before = {entry.name: entry for entry in read_scoreboard(KEPT).entries} if KEPT.exists() else {}
    entries = []
    for subject in SUBJECTS:
        path = folder / f"{subject['name']}.jsonl"
        if path.exists():
            report = read_report(path)
            entries.append(entry_of(report, Baseline(tuple(_known(report, subject["name"])))))
        elif entry := before.get(subject["name"]):
            entries.append(entry)
    put(KEPT, Scoreboard(entries).text())


def _known(report: Report, name: str) -> Iterator[Known]:
    """What fails in ways that the file names, as a baseline has it."""
    bugs = [bug for bug in _FILE["bug"] if name in bug["implementations"]]
    stems = {judged.verdict.check: judged.stem for judged in report.judged}
    causes = causes_of(report)
    for verdict in broken(report):
        cause = causes.get((verdict.check, verdict.dtype))
        told = {
            "layers": stems[verdict.check],
            "requirements": verdict.requirement,
            "checks": verdict.check,
            "causes": cause.value if cause else "",
        }
        for bug in bugs:
            fits = all(any(fnmatchcase(is_so, each) for each in bug.get(field, "*")) for field, is_so in told.items())
            if fits and re.search(bug.get("says", ""), verdict.reason):
                place = (verdict.requirement, (verdict.check,), verdict.status.value, verdict.dtype)
                yield Known(bug["reason"], *place, issue=bug.get("issue", ""))
                break


def site(folder: Path) -> None:
    """Write the site of what is kept into a folder."""
    write_site(read_scoreboard(KEPT), folder)


def drawn() -> str:
    """What the page shows of the kept numbers: the table, how each was run, and what is known to fail."""
    board = read_scoreboard(KEPT)
    return "\n".join([*_table(board), "", *_runs(board), "", *_bugs(board), ""])


def _table(board: Scoreboard) -> Iterator[str]:
    yield "## The table"
    yield ""
    yield f"| both types | {' | '.join(_name(entry) for entry in board.entries)} |"
    yield f"|---|{'---:|' * len(board.entries)}"
    for layer in board.layers:
        cells = [added(m for (stem, _), m in entry.cells.items() if stem == layer) for entry in board.entries]
        yield f"| {layer} | {' | '.join(map(_cell, cells))} |"
    yield f"| **all** | {' | '.join(_cell(entry.musts) for entry in board.entries)} |"


def _cell(musts: Any) -> str:
    if not musts.claimed:
        return "–" if musts.owed else ""
    return f"{musts.passed}" + (f" of {musts.claimed}" if musts.passed < musts.claimed else "")


def _name(entry: Entry) -> str:
    return markdown(entry.name)


def _runs(board: Scoreboard) -> Iterator[str]:
    yield "## How each was run"
    yield ""
    for subject, entry in _paired(board):
        command = f"`{shlex.join(['lossconf', 'run', subject['spec'], *subject.get('options', ())])}`"
        where = f" in `{subject['folder']}`" if "folder" in subject else ""
        musts = entry.musts
        known = f" ({entry.known} of them in known ways)" if entry.known else ""
        yield from (f"### {entry.title}", "", subject["says"], "")
        yield f"{command}{where}" + (f"; it needs {subject['needs']}." if "needs" in subject else ".")
        yield ""
        yield (
            f"{entry.words[0].upper()}{entry.words[1:]}: of {musts.claimed} musts that it claims {musts.passed} "
            f"passed, {musts.failed} failed{known}, {musts.undecided} were not decided; in "
            f"{' and '.join(dict.fromkeys(dtype for _, dtype in entry.cells))}, suite {entry.suite}."
        )
        yield ""


def _paired(board: Scoreboard) -> Iterator[tuple[dict[str, Any], Entry]]:
    names = {_called(entry): entry for entry in board.entries}
    yield from ((subject, names[subject["name"]]) for subject in SUBJECTS if subject["name"] in names)


def _called(entry: Entry) -> str:
    """The subject that an entry is of: its name, or the one that runs under another."""
    return next((s["name"] for s in SUBJECTS if s.get("as", s["name"]) == entry.name), entry.name)


def _bugs(board: Scoreboard) -> Iterator[str]:
    yield "## Known failures"
    yield ""
    for bug in board.bugs:
        yield f"### {bug.reason}"
        yield ""
        for entry in board.entries:
            count = sum(each.count for each in entry.failing if each.bug == bug)
            if count:
                layers = dict.fromkeys(each.layer for each in entry.failing if each.bug == bug)
                yield f"- {_name(entry)}: {count} musts of {', '.join(layers)}"
        yield ""
        if bug.issue:
            place, _, heading = bug.issue.removeprefix("docs/").partition(", ")
            yield f"Told at <{bug.issue}>." if ":" in place else f"More at [{heading}]({place}#{heading})."
            yield ""


def main(arguments: list[str]) -> None:
    """See the module."""
    if arguments[:1] == ["run"]:
        run(Path(arguments[1]), arguments[2:])
        return
    if arguments[:1] == ["take"]:
        take(Path(arguments[1]))
    page = PAGE.read_text("utf-8")
    PAGE.write_text(_BETWEEN.sub(lambda _: drawn(), page), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
