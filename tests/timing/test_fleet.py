"""`lossconf bench --on`: one result for each machine of a cluster, and one comparison of all."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import Stopped, UsageError
from conformance.engine.cluster import Cluster, Lost
from conformance.timing import fleet
from conformance.timing.fleet import _plan_of, timed
from conformance.timing.measure import Plan
from conformance.timing.result import read_result
from tests.command_line import lossconf_in
from tests.timing.test_results import HINGE, MACHINE, measured, result

PLAN = Plan(("numba-cpu", "torch"), (HINGE,), ("both",), 0, 1)


class Machines(Cluster[str]):
    """Workers by their addresses: host and what tells the machine from others there; ``lost`` ones answer nothing."""

    def __init__(self, workers: dict[str, tuple[str, str]], lost: str = "") -> None:
        self._workers, self._lost = workers, lost
        self._asked: list[tuple[str, str]] = []
        self.order: list[str] = []
        self.most: dict[str, int] = {}

    @property
    def calls(self) -> int:
        return len(self._asked)

    def alone(self) -> set[str]:
        return set(self._workers)

    def everywhere(self, function: str, *words: Any) -> dict[str, Any]:
        return dict(self._workers)

    def call(self, ticket: str, function: str, *words: Any, worker: str = "") -> None:
        self._asked.append((ticket, worker))
        self.order.append(worker)
        for _, each in self._asked:
            host = self._workers[each][0]
            at_once = sum(self._workers[other][0] == host for _, other in self._asked)
            self.most[host] = max(self.most.get(host, 0), at_once)

    def ended(self, seconds: float) -> list[tuple[str, Any]]:
        ticket, worker = self._asked.pop(0)
        machine = replace(MACHINE, cpu=worker)
        found: Any = json.dumps(result(measured(numba_cpu=1000, torch=4000), machine=machine).to_json())
        return [(ticket, Lost(killed=True) if worker == self._lost else found)]

    def cancel(self) -> None:
        self._asked.clear()


def test_each_machine_is_timed_once_and_those_of_one_host_one_after_the_other() -> None:
    machines = Machines({"a": ("x", "1"), "b": ("x", "1"), "c": ("x", "2"), "d": ("y", "1")})
    results = timed(PLAN, machines)
    assert {label: found.machine.cpu for label, found in results.items()} == {"x": "a", "x-2": "c", "y": "d"}
    assert sorted(machines.order) == ["a", "c", "d"]
    assert machines.most == {"x": 1, "y": 1}


def test_a_plan_travels_whole() -> None:
    plan = replace(PLAN, threads=3, patience=1.5, problems=(HINGE, replace(HINGE, dtype="float64")))
    assert _plan_of(json.dumps(asdict(plan))) == plan


def test_without_the_resource_it_is_said_how_a_worker_gets_it() -> None:
    with pytest.raises(UsageError, match="--resources machine=1"):
        timed(PLAN, Machines({}))


def test_a_machine_that_is_lost_ends_it_and_is_named() -> None:
    with pytest.raises(Stopped, match="the worker on y was lost"):
        timed(PLAN, Machines({"a": ("x", "1"), "b": ("y", "1")}, lost="b"))


def test_the_command_writes_a_file_for_each_machine_and_compares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cluster_address: str
) -> None:
    monkeypatch.setattr(fleet, "measure", lambda plan: result(measured(numba_cpu=1000, torch=4000)))
    monkeypatch.setattr(fleet, "who", lambda: ("host", "one"))
    ended = lossconf_in(tmp_path, monkeypatch, capsys)("bench", "numba-cpu", "torch", "--on", cluster_address)
    assert ended.code == 0, ended.err
    assert "1.00 ms" in ended.out and "100%" in ended.out
    assert read_result(tmp_path / "bench-host.json").specs == ("numba-cpu", "torch")
