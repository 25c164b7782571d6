"""Spellings: the built-in ones, and what other distributions register."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from conformance.adapters import open_implementation, spellings
from conformance.adapters.process import ProcessImplementation
from conformance.contract.errors import UsageError
from conformance.contract.implementation import DoesNotStart
from tests.command_line import Lossconf, lossconf_in
from tests.miniatures import well_behaved

MODULE = f"""\
from conformance import ProcessImplementation

class EuclideanLoss:
    def forward(self, bottom):
        self.difference = bottom[0] - bottom[1].reshape(bottom[0].shape)
        return (self.difference ** 2).sum() / (2 * len(bottom[0]))

    def backward(self, top_diff, bottom, propagate_down):
        gradient = top_diff[0] * self.difference / len(bottom[0])
        return gradient, -gradient

LAYERS = {{"EuclideanLoss": EuclideanLoss}}

def open_layers(argument):
    if argument:
        raise ValueError(f"no device is named {{argument!r}}")
    return LAYERS

def open_told(argument, dialect, timeout):
    return ProcessImplementation(
        {well_behaved()!r}, timeout=timeout, environment={{"ASKED": f"{{argument}} {{dialect}}"}}
    )

def open_broken(argument):
    raise OSError("no such device")
"""

POINTS = """\
[lossconf.implementations]
acme = acme_losses:open_layers
acme-class = acme_losses:EuclideanLoss
acme-told = acme_losses:open_told
acme-broken = acme_losses:open_broken
acme-gone = acme_losses:open_nothing
reference = acme_losses:open_broken
"""


@pytest.fixture(autouse=True)
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that registers implementations, as pip would have unpacked it."""
    site = tmp_path / "site"
    information = site / "acme_losses-2.5.dist-info"
    information.mkdir(parents=True)
    (site / "acme_losses.py").write_text(MODULE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-losses\nVersion: 2.5\n")
    (information / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "acme_losses", raising=False)


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["acme", "acme-class"])
def test_what_is_registered_runs_like_what_is_built_in(lossconf: Lossconf, name: str) -> None:
    ended = lossconf("run", name, "--case", "euclidean_loss/grid-001", "-j", "1")
    assert ended.code == 0, ended.err
    assert f"{name} 2.5" in ended.out


def test_what_is_registered_is_listed_with_whose_it_is(lossconf: Lossconf) -> None:
    lines = lossconf("list", "implementations").out.splitlines()
    assert any(line.split() == ["acme[:ARGUMENT]", "registered", "by", "acme-losses", "2.5"] for line in lines)
    assert len([line for line in lines if line.startswith("reference")]) == 1


def test_a_function_is_told_what_it_has_parameters_for() -> None:
    implementation = open_implementation("acme-told:gpu 3", "bvlc", 7.5, in_process=True)
    assert isinstance(implementation, ProcessImplementation)
    assert implementation.timeout == 7.5
    assert implementation._environment == {"ASKED": "gpu 3 bvlc"}
    assert implementation.command == tuple(well_behaved())


def test_a_name_of_the_suites_own_stays_its_own() -> None:
    assert open_implementation("reference").describe().name == "reference"


def test_an_argument_that_makes_no_sense_is_the_callers_mistake() -> None:
    with pytest.raises(UsageError, match=r"no device is named 'npu'; it is spelled acme\[:ARGUMENT\]"):
        open_implementation("acme:npu", in_process=True)


@pytest.mark.parametrize(
    ("name", "reason"), [("acme-broken", "OSError: no such device"), ("acme-gone", "has no attribute 'open_nothing'")]
)
def test_what_cannot_be_opened_does_not_start(name: str, reason: str) -> None:
    with pytest.raises(DoesNotStart, match=reason) as caught:
        open_implementation(name, in_process=True)
    assert "Traceback" in caught.value.detail


def test_a_name_that_is_nearly_one_of_these_is_recognised() -> None:
    with pytest.raises(UsageError, match="did you mean acme"):
        open_implementation("acne")


def test_what_takes_no_argument_refuses_one() -> None:
    with pytest.raises(UsageError, match=r"it is spelled numba-cpu$"):
        open_implementation("numba-cpu:fast")


def test_every_built_in_spelling_names_a_function() -> None:
    for spelling in spellings().values():
        if spelling.function.startswith("conformance.") and not spelling.missing:
            assert callable(spelling.load())


def test_a_command_line_may_hold_colons_and_dashes() -> None:
    command = [sys.executable, "serve.py", "--at", "localhost:80"]
    implementation = open_implementation(f"process:{shlex.join(command)}")
    assert isinstance(implementation, ProcessImplementation)
    assert implementation.command == tuple(command)
