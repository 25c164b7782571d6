"""Fleet: a plan of timings, carried out once on each machine of a cluster, one after the other where they share one.

Machines are told apart by host, hardware and settings of threads. A worker that times declares a resource, so that it
is given nothing else of the kind meanwhile; that no other program runs on its machine is its owner's to see to.
"""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from conformance.contract.errors import Stopped, UsageError
from conformance.contract.exit_codes import ExitCode
from conformance.engine.cluster import ALONE, Cluster, Lost
from conformance.engine.edition import edition, refuse_another
from conformance.timing.machine import describe_machine
from conformance.timing.measure import Plan, measure
from conformance.timing.problem import Problem
from conformance.timing.result import Result
from conformance.timing.sizes import Size
from conformance.timing.subjects import NotTimed

__all__ = ["carry_out", "timed", "who"]

_TICK = 1.0  # seconds between looks at who is still there


def who() -> tuple[str, str]:
    """On a worker: its host, and what makes it a machine of its own there."""
    machine = describe_machine()
    return platform.node(), json.dumps([machine.hardware, machine.gpus, machine.threads])


def carry_out(wanted: str, plan: str) -> str:
    """On a worker: the result of a plan, both as JSON; 0 threads are as many as the machine has.

    Raises `Stopped` where the suite here is not the ``wanted`` edition or what is named first does not start.
    """
    from refimpl.fast.cpu.threads import available_threads

    refuse_another(wanted)
    asked = _plan_of(plan)
    try:
        result = measure(replace(asked, threads=asked.threads or available_threads()))
    except NotTimed as reason:
        raise Stopped(ExitCode.DOES_NOT_START, f"{reason}; on {platform.node()}") from None
    return json.dumps(result.to_json())


def timed(plan: Plan, cluster: Cluster[str], told: Callable[[str], None] = lambda line: None) -> dict[str, Result]:
    """The results of a plan by the machines' names.

    Raises `UsageError` where no worker has the resource, `Stopped` where one is lost.
    """
    workers = _machines(cluster)
    waiting: dict[str, list[str]] = defaultdict(list)
    for label, (host, _) in workers.items():
        waiting[host].append(label)
    for host in waiting:
        _begin(plan, cluster, workers, waiting[host].pop(0), told)
    results: dict[str, Result] = {}
    try:
        while cluster.calls:
            there = cluster.alone()
            for label in workers.keys() - results.keys():
                if workers[label][1] not in there:
                    raise Stopped(ExitCode.HARNESS_BROKEN, f"the worker on {label} was lost: it was not timed")
            for label, text in cluster.ended(_TICK):
                if isinstance(text, Lost):
                    raise Stopped(ExitCode.HARNESS_BROKEN, f"the worker on {label} was lost while it was timed")
                results[label] = Result.from_json(json.loads(text))
                if rest := waiting[workers[label][0]]:
                    _begin(plan, cluster, workers, rest.pop(0), told)
    finally:
        cluster.cancel()
    return {label: results[label] for label in workers}


def _plan_of(text: str) -> Plan:
    """The plan whose fields a text holds."""
    told = json.loads(text).items()
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told}
    problems = (Problem(each["layer"], _size_of(**each["size"]), each["dtype"]) for each in fields.pop("problems"))
    return Plan(**fields, problems=tuple(problems))


def _size_of(name: str, shape: list[int], ignored: float) -> Size:
    return Size(name, tuple(shape), ignored)


def _begin(
    plan: Plan, cluster: Cluster[str], workers: dict[str, tuple[str, str]], label: str, told: Callable[[str], None]
) -> None:
    told(f"{label}: {len(plan.problems)} problems")
    cluster.call(label, f"{__name__}:carry_out", edition(), json.dumps(asdict(plan)), worker=workers[label][1])


def _machines(cluster: Cluster[Any]) -> dict[str, tuple[str, str]]:
    """Host and address of one worker for each machine, by a name of its own: the host's, and a number from the second
    on."""
    able = cluster.alone()
    if not able:
        told = f"start one on each machine with `dask worker ADDRESS --nthreads 1 --resources {ALONE}=1`"
        raise UsageError(f"--on: no worker has the resource {ALONE!r}, by which it times alone; {told}")
    first: dict[tuple[str, str], str] = {}
    for address, machine in sorted(cluster.everywhere(f"{__name__}:who").items()):
        if address in able and isinstance(machine, tuple):
            first.setdefault(machine, address)
    found: dict[str, tuple[str, str]] = {}
    for host, address in ((host, address) for (host, _), address in sorted(first.items())):
        count = sum(known == host for known, _ in found.values())
        found[f"{host}-{count + 1}" if count else host] = (host, address)
    return found
