"""Kills runs with SIGKILL at random moments and resumes them: ``python -m tests.kill_and_resume --times 50``.

Whatever the moment, what is left is a report that can be read, and the resumed run's verdicts are those of a run that
nobody disturbed.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from conformance.report.jsonl import read_report

__all__ = ["Outcome", "disturbed", "undisturbed", "verdicts"]

ROOT = Path(__file__).resolve().parent.parent
PART = ("reference", "--family", "golden", "--layer", "multinomial_logistic_loss")

Outcome = Counter[tuple[object, ...]]


def verdicts(path: Path) -> Outcome:
    """All that a report's verdicts say, but for the time they took."""
    found = (judged.verdict for judged in read_report(path).judged)
    return Counter((v.check, v.dtype, v.requirement, v.status, v.side, v.headroom, v.reason) for v in found)


def undisturbed(path: Path, *options: str) -> float:
    """Run the suite's part to its end; the seconds it took."""
    started = time.monotonic()
    subprocess.run(_command(path, *options), cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - started


def disturbed(path: Path, moment: float, *options: str) -> int:
    """Kill a run after ``moment`` seconds, and resume it to its end; how many items it had done by then."""
    with subprocess.Popen(
        _command(path, *options), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
    done = len(read_report(path).ended) if path.exists() else 0
    if not path.exists() or not read_report(path).complete:
        subprocess.run([*_command(path, *options), "--resume"], cwd=ROOT, check=True, capture_output=True)
    return done


def _command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "conformance", "run", *PART, "--report", str(path), *options]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-j", default="2")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole.jsonl"
        seconds = undisturbed(whole, "-j", asked.j)
        wanted, wrong = verdicts(whole), 0
        for i in range(asked.times):
            path, moment = Path(name) / f"{i}.jsonl", draw.uniform(0, seconds)
            done = disturbed(path, moment, "-j", asked.j)
            same = verdicts(path) == wanted and read_report(path).complete
            wrong += not same
            print(
                f"{i + 1}: killed after {moment:.2f} s with {done} items done; {'same' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{asked.times - wrong} of {asked.times} resumed runs gave the verdicts of an undisturbed one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
