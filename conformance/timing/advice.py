"""Advice: what about this machine and this environment makes times worth less, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conformance.timing.machine import Machine
from conformance.timing.process import spins
from conformance.timing.rounds import SETTLE
from conformance.timing.subjects import About

__all__ = ["BUSY", "UNSTEADY", "environment_advice", "run_advice"]

BUSY = 0.3
"""Runnable processes per core, before anything is timed, from which a machine counts as busy."""

UNSTEADY = 0.15
"""Spread of the times of a plain copy from which a machine counts as unsteady."""


def environment_advice(machine: Machine, threads: int, load: float) -> Iterator[str]:
    """What can be told before anything is timed."""
    cores = machine.cores
    if load > BUSY * cores:
        yield (
            f"the machine is busy (load {load:.1f} on {cores} core(s)): threads that wait for each other suffer most, "
            "OpenMP's above all, so even ratios mislead; wait until it is quiet"
        )
    if threads > cores:
        yield f"{threads} threads on {cores} core(s): give --threads {cores}"
    if machine.quota is not None and machine.quota < threads:
        yield f"the container is given {machine.quota:g} core(s) of time for {threads} threads: it will be throttled"
    if machine.governor not in (None, "performance"):
        yield f"the frequency governor is {machine.governor}: cpupower frequency-set -g performance"
    if machine.boost:
        yield "the clock may be boosted for as long as heat allows: short runs look faster than long ones"
    if machine.virtual and machine.governor is None:
        yield "a virtual machine: its frequency and its other tenants are out of sight"
    yield from _settings_advice(machine.threads, threads)


def _settings_advice(settings: Mapping[str, str], threads: int) -> Iterator[str]:
    for name, value in settings.items():
        count = value.split(",")[0]
        if name.endswith("_NUM_THREADS") and count != str(threads):
            yield f"{name}={value}, and {threads} thread(s) are timed: unset it, or give --threads {count}"
    if settings.get("OMP_WAIT_POLICY", "").lower() == "active":
        yield "OMP_WAIT_POLICY=active: OpenMP threads spin between calls and take cores from everybody; use passive"


def run_advice(abouts: Mapping[str, About], spread: float | None, disturbed: Sequence[str]) -> Iterator[str]:
    """What only running shows.

    That is the OpenMP runtimes of each subject, how steady a plain copy was, and the problems during which somebody
    had to wait for a core in almost every round.
    """
    for spec, about in abouts.items():
        loaded: Sequence[str] = about.environment.get("openmp", ())
        if len(loaded) > 1:
            yield f"{spec} has {len(loaded)} OpenMP runtimes in one process ({', '.join(loaded)}): they fight for cores"
        elif spins(loaded):
            yield (
                f"{spec} uses {loaded[0]}, whose threads spin on after a call: a rest of {SETTLE * 1e3:g} ms follows "
                "each of its turns (OMP_WAIT_POLICY=passive needs none)"
            )
    if disturbed:
        yield (
            f"{len(disturbed)} problem(s) were disturbed: threads waited for cores that other processes had, in almost "
            f"every round (the first: {disturbed[0]})"
        )
    if spread is not None and spread > UNSTEADY:
        yield f"a plain copy varied by {spread:.0%} between rounds: small differences mean nothing here"
