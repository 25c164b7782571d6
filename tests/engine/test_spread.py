"""`lossconf run --on`: the same report from a cluster as from processes here, whatever becomes of workers."""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import Stopped
from conformance.contract.selection import Selection
from conformance.engine import cluster
from conformance.engine import edition as module
from conformance.engine.cluster import Lost
from conformance.engine.edition import edition
from conformance.engine.order import Order
from conformance.engine.spread import spread
from tests.command_line import Lossconf, lossconf_in
from tests.kill_and_resume import verdicts

MINIATURE = "direct:tests.direct_miniatures:"
FEW = ("--case", "euclidean_loss/grid-001", "--case", "euclidean_loss/grid-002", "--case", "hinge_loss/grid-006")


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("implementation", ["IgnoresWeight", pytest.param("Segfaults", marks=pytest.mark.slow)])
def test_the_report_is_that_of_a_run_here(
    lossconf: Lossconf, tmp_path: Path, cluster_address: str, implementation: str
) -> None:
    here = lossconf("run", MINIATURE + implementation, *FEW, "-j", "1", "--report", "here.jsonl")
    there = lossconf("run", MINIATURE + implementation, *FEW, "--on", cluster_address, "--report", "there.jsonl")
    assert (here.code, there.code) == (1, 1)
    assert verdicts(tmp_path / "there.jsonl") == verdicts(tmp_path / "here.jsonl")
    lines = [without_times(tmp_path / name) for name in ("here.jsonl", "there.jsonl")]
    assert lines[0] == lines[1]


def without_times(path: Path) -> list[dict[str, Any]]:
    """The lines of a report, but for when it was made and how long that took, in an order of their own."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        for name in ("seconds", "started"):
            line.pop(name, None)
    return sorted(lines, key=json.dumps)


def test_a_stopped_run_goes_on_on_a_cluster(lossconf: Lossconf, tmp_path: Path, cluster_address: str) -> None:
    lossconf("run", "reference", *FEW, "-j", "0", "--report", "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text("utf-8").splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines, 1) if line.startswith('{"kind":"end"')]
    (tmp_path / "half.jsonl").write_text("".join(lines[: ends[2]]), "utf-8")
    ended = lossconf("run", "reference", *FEW, "--resume", "--on", cluster_address, "--report", "half.jsonl")
    assert ended.code == 0
    assert verdicts(tmp_path / "half.jsonl") == verdicts(tmp_path / "whole.jsonl")


def test_a_file_that_is_not_on_the_worker_is_told_in_one_line(lossconf: Lossconf, cluster_address: str) -> None:
    ended = lossconf("run", "python-layer:none.py:Loss", "--on", cluster_address)
    assert ended.code == 2
    assert "there is no file none.py" in ended.err
    assert "have to be there under the same path" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_worker_with_another_suite_is_refused(
    lossconf: Lossconf, cluster_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "edition", lambda: "lossconf 0.0.9, suite 1, 0123456789ab")
    ended = lossconf("run", "reference", *FEW, "--on", cluster_address)
    assert ended.code == 5
    assert f"is lossconf 0.0.9, suite 1, 0123456789ab, and here it is {edition()}" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_worker_without_the_suite_is_refused(cluster_address: str) -> None:
    with cluster.cluster_at(cluster_address) as opened, pytest.raises(Stopped, match="has to be installed") as ended:
        opened.call("ticket", "conformance.no_such_module:do")
        while not opened.ended(1.0):
            pass
    assert ended.value.code == 5


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--on", "local:0"), 2, "use local:1 to local:64"),
        (("--on", "local:many"), 2, "use local:1 to local:64"),
        (("--on", "scheduler:8786"), 2, "this is no address of a Dask cluster"),
        (("--on", "tcp://scheduler"), 2, "this is no address of a Dask cluster"),
        (("--on", "tls://localhost:8786"), 2, "has no certificates"),
        (("--on", "tcp://localhost:1"), 5, "no scheduler answers at tcp://localhost:1"),
        (("--on", "local:1", "-j", "2"), 2, "does not go with -j"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    lossconf: Lossconf, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, told: str
) -> None:
    monkeypatch.setattr(cluster, "_CONNECTING", 0.2)
    ended = lossconf("run", "reference", *FEW, *words)
    assert ended.code == code
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1


def test_what_is_not_installed_is_told_with_what_installs_it(
    lossconf: Lossconf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = lossconf("run", "reference", *FEW, "--on", "local:1")
    assert ended.code == 2
    assert "pip install 'caffe-loss-conformance[dask]'" in ended.err


class Losing:
    """A cluster of which nothing is sure: a call is answered, or lost with its worker, or with the connection."""

    run = "a run"

    def __init__(self, items: list[str], rate: float) -> None:
        self._items, self._rate = items, rate
        self._chance = random.Random(7)
        self._calls: list[tuple[tuple[str, ...], Mapping[str, Any], bool]] = []
        self.lost = 0

    @property
    def calls(self) -> int:
        return len(self._calls)

    def hands(self) -> int:
        return 2

    def call(self, ticket: tuple[str, ...], function: str, order: str, run: str, wanted: str, planning: bool) -> None:
        self._calls.append((ticket, json.loads(order), planning))

    def ended(self, seconds: float) -> list[tuple[tuple[str, ...], Any]]:
        ticket, order, planning = self._calls.pop(self._chance.randrange(len(self._calls)))
        if self._chance.random() < self._rate:
            self.lost += 1
            return [(ticket, Lost(killed=self._chance.random() < 0.5))]
        chosen = self._items if planning else order["only"]
        collected = {"kind": "collected", "items": chosen, "plan": "plan"}
        ran = [] if planning else [{"kind": kind, "item": item} for item in chosen for kind in ("start", "end")]
        done = {"events": [collected, *ran], "host": "host", "started": 2.0, "seconds": dict.fromkeys(chosen, 0.1)}
        return [(ticket, json.dumps(done))]

    def cancel(self) -> None:
        self._calls.clear()

    def everywhere(self, function: str, *words: Any) -> None:
        """There is nobody."""


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_nothing_is_lost_and_nothing_comes_twice_whatever_is_lost_of_the_cluster(rate: float) -> None:
    items = [f"family/{number}[float32]" for number in range(1000)]
    losing, told = Losing(items, rate), Counter[str]()
    spread(Order("x", done=frozenset(items[:100])), losing, lambda event: told.update([told_of(event)]))  # type: ignore[arg-type]
    assert bool(losing.lost) is bool(rate)
    assert told == Counter(["collected", *itertools.chain(*([f"start {i}", f"end {i}"] for i in items[100:]))])


def told_of(event: Mapping[str, Any]) -> str:
    return f"{event['kind']} {event['item']}" if "item" in event else event["kind"]


def test_a_worker_with_another_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    losing = Losing(["a[float32]"], 0.0)
    plans = itertools.count()
    whole = losing.ended

    def ended(seconds: float) -> list[tuple[tuple[str, ...], Any]]:
        return [(names, text.replace('"plan"}', f'"{next(plans)}"}}')) for names, text in whole(seconds)]

    monkeypatch.setattr(losing, "ended", ended)
    with pytest.raises(Stopped, match="has other checks to run"):
        spread(Order("x"), losing, lambda event: False)  # type: ignore[arg-type]


def test_an_order_travels_whole() -> None:
    order = Order("x", selection=Selection(("golden",)), only=frozenset({"b", "a"}), folder="/somewhere")
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order
    assert Order.from_json(json.loads(json.dumps(Order("x").to_json()))) == Order("x")
