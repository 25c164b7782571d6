"""Kills runs with SIGKILL at random moments and resumes them: ``python -m tests.kill_and_resume --times 50``.

Whatever the moment, what is left is a report that can be read and says that it is incomplete, and the resumed run's
verdicts are those of a run that nobody disturbed. Every other resumed run is killed as well, and resumed again. After
each kill no process of the run goes on and no scratch folder stays.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil
from rich.console import Console

from conformance.record.reader import read_report
from conformance.views.terminal import render
from tests.miniatures import well_behaved

__all__ = ["RUNS", "SHORT", "Outcome", "Stage", "Trial", "disturbed", "undisturbed", "verdicts"]

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("reference", "--family", "golden", "--layer", "multinomial_logistic_loss")
RUNS = (
    ("reference", "--family", "golden"),
    ("direct:tests.direct_miniatures:IgnoresWeight", "--layer", "euclidean_loss"),
)
"""What is killed in turn: a run of some 2,000 items that conforms, and one that fails and writes evidence."""

PROCESS = (f"process:{shlex.join(well_behaved(honest=True))}", *SHORT[1:])
"""A short run on somebody's process."""

_BEYOND = 1.05
"""Moments are drawn from this times the seconds that the run takes undisturbed."""

_SOON = 30.0  # seconds for a keeper to be scheduled, on a busy machine

Outcome = Counter[tuple[object, ...]]


class Stage(Enum):
    """How far a run had come when it was killed."""

    UNBORN = "before its report"
    BEFORE = "before its first verdict"
    MIDDLE = "in the middle"
    ENDED = "after its end"


@dataclass(frozen=True)
class Trial:
    """Where the kills of one run hit, its items that were done at each, and whether a torn line was left at any."""

    stages: tuple[Stage, ...]
    done: tuple[int, ...]
    torn: bool


def verdicts(path: Path) -> Outcome:
    """All that a report's verdicts say, but for the time they took."""
    found = (judged.verdict for judged in read_report(path).judged)
    return Counter((v.check, v.dtype, v.requirement, v.status, v.side, v.headroom, v.reason) for v in found)


def undisturbed(path: Path, run: Sequence[str] = SHORT, *options: str) -> float:
    """Run a part of the suite to its end; the seconds it took."""
    started = time.monotonic()
    _to_its_end([*_command(path, run), *options])
    return time.monotonic() - started


def disturbed(path: Path, moments: Sequence[float], run: Sequence[str] = SHORT, *options: str) -> Trial:
    """Kill a run, and each run that goes on from it, after so many seconds; then resume it to its end.

    Raises `AssertionError` where what a killed run leaves is no report, or does not say that it is incomplete, or where
    it leaves a process or a folder.
    """
    command = [*_command(path, run), *options]
    stages, done, torn = [], [], False
    for moment in moments:
        with (
            tempfile.TemporaryDirectory() as scratch,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": scratch},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as running,
        ):
            time.sleep(moment)
            running.send_signal(signal.SIGKILL)
            running.wait()
            _await_nothing_left(scratch)
        stage, items = _left(path)
        stages.append(stage)
        done.append(items)
        torn = torn or (path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"))
        if stage is Stage.ENDED:
            return Trial(tuple(stages), tuple(done), torn)
        command = [*_command(path, run), *options, "--resume"]
    _to_its_end(command)
    return Trial(tuple(stages), tuple(done), torn)


def _await_nothing_left(scratch: str) -> None:
    """Wait until no process has its scratch folder there, and no folder is there; a keeper takes a moment for that."""
    deadline, left = time.monotonic() + _SOON, ["not looked"]
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = [str(process) for process in psutil.process_iter() if _folder_of(process).startswith(scratch)]
        left += os.listdir(scratch)
    assert not left, f"a killed run left {left}"


def _folder_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("TMPDIR", "")
    except (psutil.Error, OSError):
        return ""


def _left(path: Path) -> tuple[Stage, int]:
    """What a killed run left: how far it was, and how many of its items had ended."""
    if not path.exists() or not path.stat().st_size:
        return Stage.UNBORN, 0
    report, out = read_report(path), io.StringIO()
    render(report, Console(file=out, width=120), str(path))
    assert ("incomplete" in out.getvalue()) is not report.complete
    if report.complete:
        return Stage.ENDED, len(report.ended)
    return (Stage.MIDDLE if report.judged else Stage.BEFORE), len(report.ended)


def _command(path: Path, run: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "conformance", "run", *run, "--report", str(path)]


def _to_its_end(command: Sequence[str]) -> None:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr[-2000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-j", default="2")
    parser.add_argument("--process", action="store_true", help="kill a short run on somebody's process")
    asked = parser.parse_args()
    runs = (PROCESS,) if asked.process else RUNS
    draw = random.Random(asked.seed)
    stages, wrong, kills, torn = Counter[Stage](), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        wholes = [Path(name) / f"whole-{i}.jsonl" for i in range(len(runs))]
        seconds = [undisturbed(path, run, "-j", asked.j) for path, run in zip(wholes, runs, strict=True)]
        wanted = [verdicts(path) for path in wholes]
        for i in range(asked.times):
            which, path = i % len(runs), Path(name) / f"{i}.jsonl"
            moments = [draw.uniform(0, _BEYOND * seconds[which]) for _ in range(1 + i // len(runs) % 2)]
            trial = disturbed(path, moments, runs[which], "-j", asked.j)
            same = verdicts(path) == wanted[which] and read_report(path).complete
            stages[trial.stages[0]] += 1
            wrong += not same
            kills += len(trial.stages)
            torn += trial.torn
            told = "; ".join(
                f"killed after {moment:.2f} s {stage.value}, {done} items done"
                for moment, stage, done in zip(moments, trial.stages, trial.done, strict=False)
            )
            print(f"{i + 1}: {told}; {'same' if same else 'DIFFERENT'}", flush=True)
    print(f"first kills: {', '.join(f'{stages[stage]} {stage.value}' for stage in Stage)}; {kills} kills in all, "
          f"{torn} left a torn line")  # fmt: skip
    print(f"{asked.times - wrong} of {asked.times} resumed runs gave the verdicts of an undisturbed one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
