"""Somebody's Python code in a process of its own: nothing that it does reaches the judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters import open_implementation
from conformance.adapters.child import Child
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Pass
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Crash, DoesNotStart, ProtocolError, TimedOut
from conformance.contract.outcome import Outcome, Refusal
from conformance.fixtures import load
from tests.command_line import Lossconf, lossconf_in

CASE = load("euclidean_loss/grid-001").case
HOSTILE = '''
import os, sys, time
import numpy as np
import conformance.judge.judgement
import conformance.judge.tolerance
from refimpl.layers.euclidean_loss import EuclideanLoss as Layer


class Wrong:
    """Wrong by half, in a process whose judge it spoils."""

    type = "EuclideanLoss"

    def __init__(self):
        for module in [m for name, m in sys.modules.items() if name.startswith("conformance.judge")]:
            for name in dir(module):
                if callable(getattr(module, name)):
                    setattr(module, name, lambda *args, **options: ())
        Layer.forward = lambda self, bottom, top: None
        np.allclose = np.array_equal = lambda *args, **options: True

    def forward(self, bottom):
        print('{"id": 1, "outcome": {"loss": 0}}')
        os.write(1, b"not JSON")
        return np.sum((bottom[0] - bottom[1]) ** 2) / len(bottom[0])

    def backward(self, top_diff, bottom, propagate_down):
        return [np.zeros_like(b) for b in bottom]


class Dies(Wrong):
    def forward(self, bottom):
        os._exit(0)


class Sleeps(Wrong):
    def forward(self, bottom):
        time.sleep(600)
'''


@contextmanager
def child(spec: str, timeout: float = 20.0) -> Iterator[Child]:
    with closing(open_implementation(spec, timeout=timeout)) as implementation:
        assert isinstance(implementation, Child)
        yield implementation


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    monkeypatch.chdir(tmp_path)


def test_a_layer_goes_through_passes_as_the_reference_does() -> None:
    other = {name: np.flip(array) for name, array in CASE.inputs.items()}
    case = replace(CASE, passes=(Pass(other), Pass(CASE.inputs, prefill_diff={"loss": np.nan})), each_pass=True)
    wanted = ReferenceImplementation().run(case, "float32")
    with child("direct:tests.direct_miniatures:Euclidean") as implementation:
        assert implementation.describe().capability == "layer"
        found = implementation.run(case, "float32")
    assert isinstance(wanted, Outcome) and isinstance(found, Outcome)
    assert len(found.passes) == 3
    for one, state in zip(found.passes, wanted.passes, strict=True):
        for name in CASE.inputs:
            np.testing.assert_allclose(one.diff[name], state.diff[name], rtol=1e-6)


def test_what_goes_wrong_means_what_it_means_in_this_process() -> None:
    with child("direct:tests.direct_miniatures:Raises") as raises:
        with pytest.raises(Crash, match="it raised ZeroDivisionError: a bug") as raised:
            raises.run(CASE, "float64")
        assert 'raise ZeroDivisionError("a bug")' in raised.value.detail
    with child("direct:tests.direct_miniatures:NoGradient") as lacking, pytest.raises(ProtocolError, match=r"^Euclid"):
        lacking.run(CASE, "float64")
    with child("direct:tests.direct_miniatures:Refuses") as refuses:
        answer = refuses.run(CASE, "float64")
        assert isinstance(answer, Refusal)
        assert (answer.stage, answer.layer) == ("forward", "loss")


@pytest.mark.usefixtures("hostile")
def test_a_death_or_a_hang_costs_the_case() -> None:
    with child("direct:hostile:Dies") as dies, pytest.raises(Crash, match="exited with status 0 while it ran a case"):
        dies.run(CASE, "float32")
    with child("direct:hostile:Sleeps", timeout=1.0) as sleeps, pytest.raises(TimedOut, match="while it ran a case"):
        sleeps.run(CASE, "float32")


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("direct:nowhere.layers:X", DoesNotStart, "there is no module nowhere"),
        ("direct:tests.direct_miniatures:Recursive", DoesNotStart, "cannot say who I am"),
        ("direct:math:pi", UsageError, "no implementation"),
        ("python-layer:absent.py:X", UsageError, "there is no file absent.py"),
    ],
)
def test_what_cannot_be_opened_says_why(spec: str, error: type[Exception], words: str) -> None:
    with child(spec) as implementation, pytest.raises(error, match=words):
        implementation.describe()


@pytest.mark.usefixtures("hostile")
def test_an_object_that_spoils_the_judge_of_its_process_has_no_effect(
    lossconf: Lossconf,
) -> None:
    part = ("--family", "golden", "--layer", "euclidean_loss", "--dtype", "float32", "-k", "grid-01")
    ended = lossconf("run", "direct:hostile:Wrong", "-j", "0", *part)
    assert ended.code == 1, ended.out
    assert "does not conform" in ended.out


def test_in_process_is_for_python_objects(lossconf: Lossconf) -> None:
    ended = lossconf("run", "reference", "--in-process", "-j", "0")
    assert ended.code == 2
    assert "--in-process is for somebody's Python code, and reference is none" in ended.err
