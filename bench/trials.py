"""Trials: how often the gate catches a slowdown that was planted, and how often it cries wolf.

A clone of this checkout gets a history of its own: as it is, then with one layer slower, each a commit. The gate runs
in the clone, against the commit before::

python -m bench.trials --tries 20
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.losses import LOSSES

__all__ = ["Outcome", "plant", "run_trials"]

ROOT = Path(__file__).resolve().parent.parent

BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from conformance.cli.main import main; main()"

PLANTED = '''

def _slowed(function):
    """Planted: the function, and a share of its time on top for inputs of more than {entries} entries."""
    from functools import wraps
    from time import perf_counter

    @wraps(function)
    def slowed(x, *rest, **options):
        start = perf_counter()
        result = function(x, *rest, **options)
        if x.size > {entries}:
            stop = perf_counter()
            until = stop + {share} * (stop - start)
            while perf_counter() < until:
                pass
        return result

    return slowed


{layer} = _slowed({layer})
'''

ENTRIES = 1 << 14
"""Calls on no more than that are left alone: measuring them would slow them down by more than what is planted."""


@dataclass(frozen=True)
class Outcome:
    """How a gate ended: its exit code, the problems it called slower and those it did not measure."""

    code: int
    slower: tuple[str, ...]
    unmeasured: int
    seconds: float


def plant(checkout: Path, layer: str, share: float) -> None:
    """Make a layer's function slower by a share of its time."""
    path = checkout / "refimpl" / "fast" / "cpu" / f"{layer}.py"
    path.write_text(path.read_text("utf-8") + PLANTED.format(layer=layer, share=share, entries=ENTRIES), "utf-8")


def _git(checkout: Path, *words: str) -> None:
    who = ("-c", "user.name=trials", "-c", "user.email=trials@localhost")
    subprocess.run(["git", "-C", str(checkout), *who, *words], check=True, capture_output=True)


def _commit(checkout: Path, message: str) -> None:
    _git(checkout, "commit", "--quiet", "--all", "--allow-empty", "--message", message)


def _gate(checkout: Path, options: Sequence[str]) -> Outcome:
    """The clone's own gate against the commit before its last."""
    start = time.monotonic()
    command = [sys.executable, "-c", BOOT, str(checkout), "bench", "gate", "--against", "HEAD~1", *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=checkout)
    if ended.returncode not in (0, 1, 4):
        raise SystemExit(f"the gate ended with {ended.returncode}: {ended.stderr[-2000:]}")
    lines = ended.stdout.splitlines()
    slower = tuple(" ".join(line.split()[:3]) for line in lines if line.rstrip().endswith("  slower"))
    unmeasured = sum("  not measured" in line for line in lines)
    return Outcome(ended.returncode, slower, unmeasured, time.monotonic() - start)


def run_trials(tries: int, layer: str, share: float, options: Sequence[str]) -> dict[str, list[Outcome]]:
    """Gates of the same code against itself and of the slowed layer against the code before, in turn."""
    outcomes: dict[str, list[Outcome]] = {"the same": [], "slowed": []}
    with tempfile.TemporaryDirectory(prefix="lossconf-trials-") as folder:
        checkouts = {name: Path(folder) / name.replace(" ", "-") for name in outcomes}
        for name, checkout in checkouts.items():
            subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(checkout)], check=True)
            if name == "slowed":
                plant(checkout, layer, share)
            _commit(checkout, f"{layer}: {name}")
        for number in range(1, tries + 1):
            for name, checkout in checkouts.items():
                outcome = _gate(checkout, options)
                outcomes[name].append(outcome)
                found = ", ".join(outcome.slower) or "nothing slower"
                noise = f", {outcome.unmeasured} not measured" if outcome.unmeasured else ""
                print(f"{number}/{tries} {name}: {found}{noise} ({outcome.seconds:.0f} s)", flush=True)
    return outcomes


def main() -> None:
    """Print how many planted slowdowns were caught, how many alarms were false; ends with 1 for too few or many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--layer", choices=list(LOSSES), default="hinge_loss", help="the layer that is slowed")
    parser.add_argument("--slowdown", type=float, default=20.0, help="by how many percent")
    arguments, options = parser.parse_known_args()
    outcomes = run_trials(arguments.tries, arguments.layer, arguments.slowdown / 100, options)
    caught = sum(any(arguments.layer in problem for problem in outcome.slower) for outcome in outcomes["slowed"])
    elsewhere = Counter(
        problem for outcome in outcomes["slowed"] for problem in outcome.slower if arguments.layer not in problem
    )
    false = sum(bool(outcome.slower) for outcome in outcomes["the same"])
    print(f"caught {caught} of {arguments.tries}; false alarms {false} of {arguments.tries}")
    if elsewhere:
        print(f"and beside what was planted: {dict(elsewhere)}")
    silent = sum(outcome.unmeasured for each in outcomes.values() for outcome in each)
    print(f"problems not measured, over all gates: {silent}")
    sys.exit(0 if caught >= 0.95 * arguments.tries and false <= 0.05 * arguments.tries else 1)


if __name__ == "__main__":
    main()
