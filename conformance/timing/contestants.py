"""Contestants: subjects as the rounds see them, each in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from conformance.adapters import open_implementation, spellings
from conformance.adapters.host import Ended, Host, Late, Overlong, last_lines, line_of, own_command
from conformance.adapters.process import ProcessImplementation
from conformance.contract.errors import unknown
from conformance.contract.implementation import ImplementationError
from conformance.contract.intake import Malformed, decoding
from conformance.contract.outcome import Refusal
from conformance.timing.cases import case_of, gradients_in
from conformance.timing.problem import Array, Problem
from conformance.timing.subjects import About, NotTimed

__all__ = ["IN_PROCESS", "Contestant", "Hosted", "Remote", "Sample", "contestant"]

IN_PROCESS = ("copy", "numba-cpu", "numba-cuda", "torch", "jax")
"""Subjects of this package's own; every other name is spelled as for ``lossconf run``."""

ELSEWHERE = ("process", "pycaffe")
"""Implementations that bring a process of their own."""

PATIENCE = 300.0
"""Seconds that an answer may take: the first use of a kernel compiles it."""

SENT = 1 << 23
"""Entries of the scores up to which a problem is sent to somebody else's process."""

ANSWER = 1 << 30
"""Bytes of an answer that are read."""

SAMPLE = 2e-3
"""Seconds that a sample in somebody else's process takes about, where a pass is shorter."""

MOST_PASSES = 201

_GRACE = 1.0  # seconds that a subject has to end by itself once its standard input is closed

Entries = NDArray[np.int64]


class Sample(NamedTuple):
    """Seconds per call, and seconds that its threads waited for a core per second; None where that is not known."""

    seconds: float
    waited: float | None = None


class Contestant(Protocol):
    """Every method but ``close`` raises `NotTimed` where there is nothing to be had, with the reason."""

    spec: str
    spins: bool

    def open(self) -> About:
        """Start it."""

    def prepare(self, problem: Problem, modes: Sequence[str]) -> tuple[str, ...]:
        """Make a problem ready; the modes that can be timed."""

    def sample(self, modes: Sequence[str], best_of: int = 1) -> dict[str, Sample]:
        """A sample of each mode; the quickest of ``best_of``."""

    def answer(self, entries: Entries) -> tuple[float, list[Array]]:
        """The loss, and each gradient's entries at these flat indices."""

    def memory(self) -> int | None:
        """The most bytes that a pass takes beyond inputs and gradients; None where nobody can tell."""

    def release(self) -> None:
        """Give the problem's memory back."""

    def close(self) -> None:
        """End it."""


def contestant(spec: str, threads: int) -> Contestant:
    """The contestant spelled ``spec``. Raises `UsageError` for a spelling that makes no sense, `NotTimed` as
    `Contestant`."""
    name = spec.partition(":")[0]
    if name not in {*IN_PROCESS, *spellings()}:
        raise unknown("implementation", name, [*IN_PROCESS, *spellings()])
    if name not in ELSEWHERE:
        return Hosted(spec, threads)
    try:
        with _told(OMP_NUM_THREADS=str(threads)):
            implementation = open_implementation(spec, timeout=PATIENCE)
    except ImplementationError as error:
        raise NotTimed(error.reason) from None
    assert isinstance(implementation, ProcessImplementation)
    implementation.limit = ANSWER
    return Remote(spec, implementation)


@contextmanager
def _told(**settings: str) -> Iterator[None]:
    """Environment variables for the processes that are set up meanwhile, unless the user has set them."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in settings.items() if name not in before})
    try:
        yield
    finally:
        for name in settings.keys() - before.keys():
            del os.environ[name]


class Hosted:
    """A subject in a `timing.worker`; ``tree`` is the checkout that its kernels come from, if not this one."""

    def __init__(self, spec: str, threads: int, tree: Path | None = None) -> None:
        self.spec, self.threads, self.tree = spec, threads, tree
        self.spins = False
        self._host: Host | None = None

    def open(self) -> About:
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONWARNINGS": "ignore"}
        tree = [] if self.tree is None else [str(self.tree)]
        command = own_command("conformance.timing.worker", self.spec, str(self.threads), *tree)
        self._host = Host(command, environment, ANSWER)
        told = self._ask("open")
        self.spins = told["spins"]
        return About(told["name"], told["version"], told["environment"])

    def prepare(self, problem: Problem, modes: Sequence[str]) -> tuple[str, ...]:
        size = problem.size
        fields = {
            "layer": problem.layer,
            "size": size.name,
            "shape": size.shape,
            "ignored": size.ignored,
            "dtype": problem.dtype,
        }
        return tuple(self._ask("prepare", modes=list(modes), **fields)["modes"])

    def sample(self, modes: Sequence[str], best_of: int = 1) -> dict[str, Sample]:
        found = self._ask("sample", modes=list(modes), best_of=best_of)["samples"]
        return {mode: Sample(*sample) for mode, sample in found.items()}

    def answer(self, entries: Entries) -> tuple[float, list[Array]]:
        told = self._ask("answer", entries=base64.b64encode(entries.astype("<i8").tobytes()).decode("ascii"))
        return float(told["loss"]), [np.frombuffer(base64.b64decode(part), "<f8") for part in told["gradients"]]

    def memory(self) -> int | None:
        told: int | None = self._ask("memory")["bytes"]
        return told

    def release(self) -> None:
        self._ask("release")

    def close(self) -> None:
        if self._host is not None:
            self._host.end(_GRACE)
            self._host = None

    def _ask(self, verb: str, **fields: Any) -> Mapping[str, Any]:
        if self._host is None:
            self.open()
        assert self._host is not None
        deadline = time.monotonic() + PATIENCE
        try:
            self._host.send(line_of({"verb": verb, **fields}), deadline)
            line = self._host.receive(deadline)
            with decoding():  # a loss that is no number travels as one
                told: dict[str, Any] = json.loads(line)
        except Malformed as error:
            self.close()
            raise NotTimed(f"its answer is none: {error}") from None
        except (Ended, Late, Overlong) as error:
            end = self._host.end(0.0 if isinstance(error, Late) else _GRACE)
            last = last_lines(end.errors, 1)
            self._host = None
            raise NotTimed(
                f"no answer within {PATIENCE:g} s"
                if isinstance(error, Late)
                else f"its process {end.how}{last and f': {last}'}"
            ) from None
        if "not_timed" in told:
            raise NotTimed(told["not_timed"])
        return told


class Remote:
    """A process that speaks the protocol, timed by itself with the ``time`` verb: ``process:`` and ``pycaffe:``.

    The case travels with every request, so a sample is the median of some passes.
    """

    def __init__(self, spec: str, implementation: ProcessImplementation) -> None:
        self.spec, self._implementation = spec, implementation
        self.spins = False
        self._problem: Problem | None = None
        self._passes = 1

    def open(self) -> About:
        try:
            told = self._implementation.describe()
        except ImplementationError as error:
            raise NotTimed(error.reason) from None
        return About(told.name, told.version, dict(told.environment))

    def prepare(self, problem: Problem, modes: Sequence[str]) -> tuple[str, ...]:
        if problem.size.elements > SENT:
            raise NotTimed(f"problems of more than {SENT} entries are not sent to another process")
        self._problem, self._case, self._passes = problem, case_of(problem), 3
        shortest = max(min(self._times()["both"]), 1e-7)
        self._passes = max(3, min(MOST_PASSES, round(SAMPLE / shortest)))
        return tuple(modes)

    def sample(self, modes: Sequence[str], best_of: int = 1) -> dict[str, Sample]:
        tries = [self._times() for _ in range(best_of)]
        return {mode: Sample(min(median(times[mode]) for times in tries)) for mode in modes}

    def answer(self, entries: Entries) -> tuple[float, list[Array]]:
        assert self._problem is not None
        try:
            outcome = self._implementation.run(self._case, self._problem.dtype)
        except ImplementationError as error:
            raise NotTimed(error.reason) from None
        if isinstance(outcome, Refusal):
            raise NotTimed(f"it refuses: {outcome.message}")
        return outcome.loss, [gradient.reshape(-1)[entries] for gradient in gradients_in(self._problem, outcome)]

    def memory(self) -> int | None:
        return None

    def release(self) -> None:
        self._problem = None

    def close(self) -> None:
        self._implementation.close()

    def _times(self) -> dict[str, tuple[float, ...]]:
        assert self._problem is not None
        try:
            times = self._implementation.time(self._case, self._problem.dtype, self._passes)
        except ImplementationError as error:
            raise NotTimed(error.reason) from None
        if isinstance(times, Refusal):
            raise NotTimed(f"it refuses: {times.message}")
        return times
