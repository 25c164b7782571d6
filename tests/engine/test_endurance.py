"""An implementation that hangs everywhere costs minutes: after some hangs, or some time, nothing more is begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from conformance.contract.case import Case
from conformance.contract.implementation import Crash, Description, TimedOut
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Status
from conformance.engine import shard
from conformance.engine.endurance import Endurance
from conformance.engine.order import Order
from conformance.engine.supervisor import _Part
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in

CASES = ("--case", "refusals/euclidean_loss", "--case", "euclidean_loss/grid-001", "--dtype", "float32")


class Hanging:
    """Does not end in time, and counts how often it was asked."""

    asked = 0

    def describe(self) -> Description:
        return Description("hanging")

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        type(self).asked += 1
        raise TimedOut("no sign of life")

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    Hanging.asked = 0
    monkeypatch.setattr(shard, "open_implementation", lambda *words, **options: Hanging())
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("option", "asked", "reason"),
    [
        (("--max-hangs", "3"), 3, "not run: 3 cases in a row had not ended in time"),
        (("--max-time", "0.000001"), 0, "not run: the run had taken all the time"),
    ],
)
def test_what_hangs_everywhere_is_not_asked_for_ever(
    lossconf: Lossconf, tmp_path: Path, option: tuple[str, str], asked: int, reason: str
) -> None:
    assert lossconf("run", "reference", "-j", "0", *CASES, *option).code == 1
    assert Hanging.asked == asked
    report = read_report(tmp_path / "report.jsonl")
    assert report.complete
    broken = [each.verdict for each in report.judged if each.verdict.status is not Status.NOT_APPLICABLE]
    assert {verdict.status for verdict in broken} == {Status.TIMED_OUT}
    assert reason in broken[-1].reason


def test_a_case_that_ends_breaks_the_row() -> None:
    endurance = Endurance(hangs=2)
    for _ in range(3):
        endurance.hanged()
        endurance.refuse()
        endurance.answered()
    endurance.hanged()
    endurance.hanged()
    with pytest.raises(TimedOut, match="2 cases in a row"):
        endurance.refuse()


def test_zero_bears_anything() -> None:
    endurance = Endurance()
    for _ in range(100):
        endurance.hanged()
    endurance.refuse()


def test_a_death_is_no_hang() -> None:
    class Dying(Hanging):
        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            raise Crash("died")

    endurance = Endurance(hangs=1, hung=0)
    watched = shard._Watched(Dying(), 1.0, lambda event: None, endurance)
    for _ in range(3):
        with pytest.raises(Crash):
            watched.run(Case("x", "", {}), "float32")


class Hosted:
    """A process that takes its order and hangs."""

    orders: ClassVar[list[Order]] = []

    def __init__(self, command: list[str], folder: str | None) -> None:
        """Nothing is started."""

    def send(self, line: bytes, deadline: float) -> None:
        Hosted.orders.append(Order.from_json(json.loads(line)))

    def end(self, grace: float) -> Any:
        return type("End", (), {"errors": "", "how": "hung"})


def test_the_next_process_knows_of_hangs_that_took_the_last_one_and_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conformance.engine.supervisor.Host", Hosted)
    part = _Part(Order("x", max_hangs=5, max_time=1000.0))
    part.start()
    item = {"kind": "start", "item": "a[float32]", "check": "a", "family": "f", "stem": "s", "dtype": "float32"}
    for expected in (1, 2):
        part._passed_on({**item, "requirements": {}})
        part._ended(Status.TIMED_OUT)
        assert Hosted.orders[-1].hung == expected
    assert 0 < Hosted.orders[-1].max_time < 1000.0
    part._passed_on({"kind": "end", "item": "b[float32]"})
    part._passed_on({**item, "requirements": {}})
    part._ended(Status.TIMED_OUT)
    assert Hosted.orders[-1].hung == 1


def test_less_than_no_time_is_refused(lossconf: Lossconf) -> None:
    assert lossconf("run", "reference", "--max-time", "-1").code == 2
