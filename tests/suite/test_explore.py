"""Generated cases: the same in every gate, others from every seed, and a report that says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status
from conformance.record.reader import read_report
from conformance.suite import properties
from tests.command_line import Lossconf, lossconf_in

CHECK = "properties/euclidean_loss/differential"


class Listening:
    """The reference, and the digests of the cases that it was given."""

    def __init__(self) -> None:
        self._inner, self.heard = ReferenceImplementation(), list[str]()

    def describe(self) -> Description:
        return self._inner.describe()

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        self.heard.append(case.digest())
        return self._inner.run(case, dtype)

    def close(self) -> None:
        self._inner.close()


def drawn(seed: int = 0, explore: int = 1) -> list[str]:
    listening = Listening()
    check = next(check for check in properties.checks(seed=seed, explore=explore) if check.id == CHECK)
    check.run(Session(listening, listening.describe(), "float64"))
    return listening.heard


def test_a_gate_draws_the_same_cases_every_time() -> None:
    assert drawn() == drawn()


def test_a_seed_draws_others_and_draws_them_again() -> None:
    assert drawn(5) == drawn(5)
    assert set(drawn(5)) - set(drawn())
    assert set(drawn(5)) - set(drawn(6))


def test_exploring_draws_as_many_times_as_many() -> None:
    assert len(set(drawn(5, 4))) > 3 * properties.EXAMPLES


def test_exploring_keeps_what_it_needs_and_says_how_far_it_is() -> None:
    listening, told, kept = Listening(), list[int](), list[int]()
    check = next(check for check in properties.checks(seed=5, explore=45) if check.id == CHECK)
    session = Session(listening, listening.describe(), "float64")

    def counted(cases: int) -> None:
        told.append(cases)
        kept.append(len(session.runs))

    session.counted = counted
    (verdict,) = check.run(session)
    assert told[-1] == len(listening.heard) == session.cases
    assert max(kept) <= 2
    assert session.runs[0].case.digest() == listening.heard[0]
    assert len(set(listening.heard)) > 40 * properties.EXAMPLES
    assert verdict.status is Status.PASSED


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_the_report_names_the_seed_and_the_run_is_told_apart(lossconf: Lossconf, tmp_path: Path) -> None:
    run = ("run", "reference", "-j", "0", "--case", CHECK, "--dtype", "float64")
    ended = lossconf(*run, "--explore", "2")
    header = read_report(tmp_path / "report.jsonl").header
    assert header["explore"] == 2
    assert header["seed"] > 0
    assert f"2 x the generated cases, from seed {header['seed']}" in " ".join(ended.out.split())
    lossconf(*run, "--explore", "2", "--seed", str(header["seed"]))
    assert read_report(tmp_path / "report.jsonl").header["seed"] == header["seed"]
    lossconf(*run)
    gate = read_report(tmp_path / "report.jsonl").header
    assert (gate["seed"], gate["explore"]) == (0, 1)
