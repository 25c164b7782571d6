"""The worker: one subject in a process of its own, which times its calls when it is asked to.

So no subject disturbs another's threads, caches of compiled code or memory, two revisions of the kernels can be
loaded at once, and a subject that dies takes nothing with it. Requests and answers are JSON lines on standard input
and output. What a request cannot be done for is answered with ``{"not_timed": reason}``.
"""

from __future__ import annotations

import base64
import gc
import json
import math
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import refimpl
from conformance.adapters.host import Channel
from conformance.timing.problem import Problem
from conformance.timing.process import TOLERATED, openmp_runtimes, peak_beyond, spins, waited
from conformance.timing.sizes import Size
from conformance.timing.subjects import NotTimed, Prepared, Subject, open_subject

__all__ = ["Worker", "loops_for", "main", "per_call", "undisturbed"]

SAMPLE = 3e-3
"""Seconds that a sample takes at least: calls shorter than that are timed many at once."""

BEST_OF = 3
"""Calls of which the quickest says how many make a sample."""

TRIES = 10
"""Samples of which the least disturbed is kept, where none is undisturbed."""

TRYING = 0.1
"""Seconds after which a sample is not tried again."""

Json = dict[str, Any]

Timer = Callable[[Callable[[], object], int], float]
"""Seconds per call, of a call made so many times."""


def per_call(call: Callable[[], object], loops: int) -> float:
    """Seconds per call over ``loops`` calls, with the garbage collector at rest."""
    times = repeat(None, loops)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = perf_counter()
        for _ in times:
            call()
        return (perf_counter() - start) / loops
    finally:
        if collecting:
            gc.enable()


def loops_for(call: Callable[[], object], timed: Timer = per_call) -> int:
    """How many calls make a sample of at least `SAMPLE` seconds."""
    loops = 1
    while (seconds := min(timed(call, loops) for _ in range(BEST_OF))) * loops < SAMPLE / 4:
        loops *= 4
    return max(1, round(SAMPLE / seconds))


def undisturbed(call: Callable[[], object], loops: int, timed: Timer = per_call) -> tuple[float, float | None]:
    """Seconds per call, and seconds waited for a core per second: of the first sample that hardly had to wait.

    Where there is none, of the one that waited least.
    """
    least = math.inf
    kept = math.nan
    start = perf_counter()
    for _ in range(TRIES):
        before = waited()
        seconds = timed(call, loops)
        after = waited()
        if before is None or after is None:
            return seconds, None
        share = max(after - before, 0.0) / (seconds * loops)
        if share < least:
            least, kept = share, seconds
        if least <= TOLERATED or perf_counter() - start > TRYING:
            break
    return kept, least


class Worker:
    """Answers requests, one method per verb."""

    def __init__(self, spec: str, threads: int) -> None:
        self.spec, self.threads = spec, threads
        self.subject: Subject | None = None
        self.problem: Problem | None = None
        self.prepared: Prepared | None = None
        self.loops: dict[str, int] = {}
        self.timed: Timer = per_call

    def open(self, _: Json) -> Json:
        """Load the subject."""
        self.subject = open_subject(self.spec, self.threads)
        about = self.subject.about()
        loaded = openmp_runtimes()
        environment = {**about.environment, "openmp": loaded}
        return {"name": about.name, "version": about.version, "environment": environment, "spins": spins(loaded)}

    def prepare(self, request: Json) -> Json:
        """Make a problem ready, and find how many calls make a sample."""
        self.release({})
        assert self.subject is not None
        shape = tuple(request["shape"])
        self.problem = Problem(request["layer"], Size(request["size"], shape, request["ignored"]), request["dtype"])
        self.prepared = self.subject.prepare(self.problem, request["modes"])
        modes = [mode for mode in request["modes"] if mode in self.prepared.calls]
        self.timed = self.prepared.timed or per_call
        self.loops = {mode: loops_for(self.prepared.calls[mode], self.timed) for mode in modes}
        return {"modes": modes}

    def sample(self, request: Json) -> Json:
        """Seconds per call of every mode asked for, and the share of waiting; the quickest of ``best_of`` samples."""
        assert self.prepared is not None
        found = {}
        for mode in request["modes"]:
            if mode in self.loops:
                call, loops = self.prepared.calls[mode], self.loops[mode]
                samples = [undisturbed(call, loops, self.timed) for _ in range(request.get("best_of", 1))]
                found[mode] = min(samples, key=lambda sample: sample[0])
        return {"samples": found}

    def answer(self, request: Json) -> Json:
        """The loss, and of each gradient the entries whose flat indices are asked for."""
        assert self.prepared is not None
        loss, gradients = self.prepared.answer()
        wanted = np.frombuffer(base64.b64decode(request["entries"]), "<i8")
        picked = [np.ascontiguousarray(gradient.reshape(-1)[wanted], np.float64) for gradient in gradients]
        return {
            "loss": repr(float(loss)),
            "gradients": [base64.b64encode(part.tobytes()).decode("ascii") for part in picked],
        }

    def memory(self, _: Json) -> Json:
        """The most memory that a pass takes beyond its inputs and its gradients, in bytes; None where the system
        cannot say."""
        assert self.prepared is not None and self.problem is not None
        if self.prepared.timed is not None:
            return {"bytes": None}
        peak = peak_beyond(self.prepared.calls["both"]) if "both" in self.prepared.calls else None
        if peak is not None and self.prepared.allocates:
            peak -= len(self.problem.loss.learned) * self.problem.size.elements * self.problem.itemsize
        return {"bytes": None if peak is None else max(peak, 0)}

    def release(self, _: Json) -> Json:
        """Forget the problem and its memory."""
        self.prepared, self.loops = None, {}
        gc.collect()
        return {}


def serve(worker: Worker, channel: Channel) -> None:
    """Answer requests until standard input ends."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            reply = getattr(worker, request["verb"])(request)
        except NotTimed as reason:
            reply = {"not_timed": str(reason)}
        except MemoryError:
            worker.release({})
            reply = {"not_timed": "not enough memory"}
        channel.send(reply)


def main() -> None:
    """``SPEC THREADS [TREE]``: with a tree, the kernels come from that checkout, everything else from where this file
    is."""
    spec, threads, *tree = sys.argv[1:]
    if tree:
        refimpl.__path__.insert(0, str(Path(tree[0]) / "refimpl"))  # where refimpl.fast is looked for first
    serve(Worker(spec, int(threads)), Channel())
