"""What a run on a cluster costs, measured on this machine: ``python -m docs.scale 1 2 4 8 --family golden``.

For each number of workers, a run by itself (in processes of its own, so that all CPU time is counted): the CPU seconds
of everything, the seconds in items and in starts of shares, what was moved, and beside them what the model of
`docs/scale.md` makes of a run in one process here. ``--kinds`` prints the seconds of each kind of item instead,
``--calls`` the time of a call that does nothing, with and without a proxy that holds everything back for 20 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from conformance.contract.selection import Selection
from conformance.engine.cluster import Cluster, cluster_at
from conformance.engine.order import Order
from conformance.engine.share import Done
from conformance.engine.spread import spread
from tests.disturbed_cluster import Proxy, Workers, scheduler

ROOT = Path(__file__).resolve().parent.parent
_CALLS = 300


def main() -> None:
    parser = argparse.ArgumentParser(prog="docs.scale", description=__doc__)
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("workers", type=int, nargs="*")
    parser.add_argument("--layer", action="append", default=[])
    parser.add_argument("--family", action="append", default=[])
    parser.add_argument("--implementation", default="reference")
    options = parser.parse_args()
    if options.calls:
        calls()
        return
    order = Order(options.implementation, selection=Selection(tuple(options.family), tuple(options.layer)))
    if options.one:
        print(json.dumps(watched(order, options.workers[0])))
        return
    words = [word for name in ("layer", "family") for value in getattr(options, name) for word in (f"--{name}", value)]
    words += ["--implementation", options.implementation]
    found = [apart(count, words) for count in options.workers]
    if options.kinds:
        kinds(found[0])
        return
    table(found, words)


def apart(count: int, words: Sequence[str]) -> dict[str, Any]:
    """A run on so many workers in a process of its own, and the CPU seconds of all that it started."""
    command = [sys.executable, "-m", "docs.scale", "--one", str(count), *words]
    said, used = _run(command)
    return {**json.loads(said), "cpu": used}


def _run(command: Sequence[str], errors: int | None = None) -> tuple[bytes, float]:
    """What a command says, and the CPU seconds of it and of all that it started."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return said, used.ru_utime + used.ru_stime


def watched(order: Order, count: int) -> dict[str, Any]:
    """Run an order on a cluster of this machine; what its shares told."""
    shares: list[tuple[int, Done]] = []
    sent: list[int] = []
    with cluster_at(f"local:{count}") as cluster:
        call, ended = cluster.call, cluster.ended

        def counted(ticket: Any, function: str, *words: Any) -> None:
            sent.append(len(words[0]))
            call(ticket, function, *words)

        def heard(seconds: float) -> list[tuple[Any, Any]]:
            results = ended(seconds)
            shares.extend((len(result), Done.from_json(result)) for _, result in results)
            return results

        cluster.call, cluster.ended = counted, heard  # type: ignore[method-assign]
        started = time.monotonic()
        spread(order, cluster, lambda event: False)
        elapsed = time.monotonic() - started
    items = [list(done.seconds.items()) for _, done in shares]
    return {
        "workers": count,
        "shares": len(shares),
        "items": sum(map(len, items)),
        "in_items": sum(seconds for share in items for _, seconds in share),
        "in_starts": sum(done.started for _, done in shares),
        "sent": sum(sent),
        "returned": sum(size for size, _ in shares),
        "elapsed": elapsed,
        "each": [pair for share in items for pair in share],
        "own": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
    }


def table(found: Sequence[dict[str, Any]], words: Sequence[str]) -> None:
    """What was measured beside what the model says, in CPU seconds, which a busy machine changes least."""
    at = words.index("--implementation")
    run = [words[at + 1], *words[:at]]
    with tempfile.TemporaryDirectory() as folder:
        lossconf, quiet = [sys.executable, "-m", "conformance", "run"], subprocess.DEVNULL
        _, whole = _run([*lossconf, *run, "-j", "1", "--report", f"{folder}/whole.jsonl"], quiet)
        none = ["reference", "--case", "euclidean_loss/grid-001", "--dtype", "float32"]
        _, start = _run([*lossconf, *none, "-j", "1", "--report", f"{folder}/none.jsonl"], quiet)
    worker = apart(2, none_words())["cpu"] - apart(1, none_words())["cpu"]
    base = apart(1, none_words())["cpu"] - 2 * start - worker
    print(f"here, one process: {whole:.1f} s; a start {start:.2f} s; a worker {worker:.2f} s; the rest {base:.2f} s")
    print(
        "| workers | shares | items | CPU s | predicted | own | in items s | starts s | sent | returned | elapsed s |"
    )
    for run_ in found:
        predicted = whole + (run_["shares"] - 1) * start + run_["workers"] * worker + base
        print(
            f"| {run_['workers']} | {run_['shares']} | {run_['items']} | {run_['cpu']:.1f} | {predicted:.1f} |"
            f" {run_['own']:.1f} | {run_['in_items']:.1f} | {run_['in_starts']:.1f} | {run_['sent']} |"
            f" {run_['returned']} | {run_['elapsed']:.1f} |"
        )


def none_words() -> list[str]:
    """A run of next to nothing."""
    return ["--layer", "euclidean_loss", "--family", "extremes"]


def kinds(run: dict[str, Any]) -> None:
    """Seconds per item by family, and type, the dearest first."""
    grouped = defaultdict(list)
    for name, seconds in run["each"]:
        head, _, dtype = name.rpartition("[")
        grouped[head.partition("/")[0], dtype.rstrip("]")].append(seconds)
    print(f"{run['items']} items, {run['in_items']:.0f} s in them, {run['cpu']:.0f} s of CPU in all")
    for (kind, dtype), seconds in sorted(grouped.items(), key=lambda pair: -sum(pair[1])):
        mean, longest = statistics.mean(seconds), max(seconds)
        print(f"| {kind} | {dtype} | {len(seconds)} | {mean:.3f} | {longest:.2f} | {sum(seconds):.1f} |")


def calls() -> None:
    """The seconds of a call that does nothing: one after the other, and many at a time."""
    for delay in (0.0, 0.02):
        with scheduler() as port, closing(Proxy(port, delay)) as proxy:
            address = f"tcp://127.0.0.1:{proxy.port if delay else port}"
            with closing(Workers(address, 1)), cluster_at(address) as cluster:
                one_by_one(cluster, 3)
                alone = one_by_one(cluster, 20)
                started, own = time.monotonic(), time.process_time()
                for number in range(_CALLS):
                    cluster.call(number, "conformance.engine.edition:edition")
                while cluster.calls:
                    cluster.ended(1.0)
                together = (time.monotonic() - started) / _CALLS
                spent = (time.process_time() - own) / _CALLS
                print(
                    f"delay {delay * 1000:.0f} ms: a call alone {alone * 1000:.0f} ms, {_CALLS} at once"
                    f" {together * 1000:.1f} ms each, of which CPU here {spent * 1000:.1f} ms"
                )


def one_by_one(cluster: Cluster[Any], count: int) -> float:
    times = []
    for _ in range(count):
        started = time.monotonic()
        cluster.call(0, "conformance.engine.edition:edition")
        while not cluster.ended(1.0):
            pass
        times.append(time.monotonic() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
