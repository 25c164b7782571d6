"""``numba-cuda`` as an implementation: without a GPU, simulated, and what it says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters import open_implementation
from conformance.adapters.numba_cuda import SimulatedImplementation, open_numba_cuda
from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Crash, DoesNotStart, Unsupported
from conformance.contract.outcome import Outcome
from conformance.record.reader import read_report
from refimpl.fast.cuda.device import NoDevice, gpu
from refimpl.fast.cuda.memory import SimulationError
from tests.command_line import Lossconf, lossconf_in

NET = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: {rows} dim: 4 }} }} }}
layer {{ name: "t" type: "Input" top: "t" input_param {{ shape {{ dim: {rows} dim: 4 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "loss" loss_weight: 2 }}
"""


def case(rows: int) -> Case:
    """Rows of the entries 1; the loss is 2 * 4 / 2 per row, and divided by the rows."""
    return Case("euclidean", NET.format(rows=rows), {"x": np.ones((rows, 4)), "t": np.zeros((rows, 4))})


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.cache_clear()
    monkeypatch.setattr("refimpl.fast.cuda.device.cuda.is_available", lambda: False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("argument", ["--simulate", "--simulate=reverse", "--simulate=shuffled", "--simulate=7"])
def test_a_simulated_net_is_right_in_any_order(argument: str, dtype: str) -> None:
    outcome = open_implementation(f"numba-cuda {argument}").run(case(3), dtype)
    assert isinstance(outcome, Outcome)
    assert outcome.loss == 4.0
    assert outcome.diff["x"].tolist() == [[np.dtype(dtype).type(2 / 3)] * 4] * 3


def test_a_simulation_is_called_one() -> None:
    description = open_numba_cuda("--simulate=7").describe()
    assert description.name == "numba-cuda (simulated)"
    assert description.devices == ("simulated",)
    assert description.environment["device"] == "simulated, threads in shuffled order (seed 7)"
    assert description.determinism == "bitwise"


def test_threads_are_told_apart_by_their_order() -> None:
    implementation = open_numba_cuda("--simulate=reverse")
    assert isinstance(implementation, SimulatedImplementation)
    orders = {}
    for count in (1, 2, 3, 8, None):
        implementation.use_threads(count)
        orders[count] = implementation.device.name.removeprefix("simulated, threads in ")
    assert orders == {
        1: "forward order",
        2: "reverse order",
        3: "shuffled order (seed 3)",
        8: "shuffled order (seed 8)",
        None: "reverse order",
    }


def test_what_is_too_large_to_simulate_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"^outside what is claimed: simulated arrays of 262144 entries"):
        open_numba_cuda("--simulate").run(case(1 << 18), "float32")


def test_what_a_gpu_leaves_undefined_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    implementation = open_numba_cuda("--simulate")

    def races(*_: Any) -> None:
        raise SimulationError("kernel: two threads race")

    monkeypatch.setattr(implementation.device, "launch", races)
    with pytest.raises(Crash, match="two threads race"):
        implementation.run(case(2), "float32")


def test_without_a_gpu_it_does_not_start_and_says_what_to_do(
    no_gpu: None, lossconf: Lossconf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")  # hides the GPU from processes that start now
    ended = lossconf("smoke", "numba-cuda")
    assert ended.code == 6
    assert ended.err.count("\n") == 1
    for word in ("GPU", "pip install 'caffe-loss-conformance[cuda]'", "numba-cuda --simulate"):
        assert word in ended.err


def test_numbas_own_simulator_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.cache_clear()
    monkeypatch.setattr("refimpl.fast.cuda.device.config.ENABLE_CUDASIM", 1)
    with pytest.raises(NoDevice, match="NUMBA_ENABLE_CUDASIM is set"):
        gpu()


@pytest.mark.parametrize("spec", ["numba-cuda --simulate=sideways", "numba-cuda --fast", "numba-cuda:--simulat"])
def test_an_option_that_makes_no_sense_is_told_in_one_line(spec: str) -> None:
    with pytest.raises(UsageError, match=r"it is spelled numba-cuda \[--simulate\[=ORDER\]\]"):
        open_implementation(spec)


def test_run_takes_the_option_behind_the_name(lossconf: Lossconf, tmp_path: Path) -> None:
    words = (
        "run",
        "numba-cuda",
        "--simulate",
        "--family",
        "golden",
        "-k",
        "euclidean_loss/ and 1",
        "--report",
        "r.jsonl",
    )
    ended = lossconf(*words)
    assert ended.code == 0, ended.err
    report = read_report(tmp_path / "r.jsonl")
    assert report.header["implementation"]["devices"] == ["simulated"]
    assert "numba-cuda (simulated)" in ended.out
    assert "float64 on simulated;" in " ".join(ended.out.split())


def test_the_option_is_for_numba_cuda_alone(lossconf: Lossconf) -> None:
    ended = lossconf("run", "numba-cpu", "--simulate")
    assert ended.code == 2
    assert "--simulate is for numba-cuda, and 'numba-cpu' is none" in ended.err


def test_it_is_listed(lossconf: Lossconf) -> None:
    assert "numba-cuda [--simulate[=ORDER]]" in lossconf("list", "implementations").out


@pytest.mark.parametrize("environment", [{}, {"NUMBA_ENABLE_CUDASIM": "1"}])
def test_nothing_of_cuda_is_imported_before_it_is_asked_for(environment: dict[str, str]) -> None:
    program = """
import sys
import refimpl.fast, conformance.adapters
from conformance.adapters import open_implementation
open_implementation("numba-cpu").describe()
assert not {"numba.cuda", "greenlet", "refimpl.fast.cuda"} & sys.modules.keys(), "too early"
print(open_implementation("numba-cuda --simulate").describe().environment["device"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert ended.stdout == "simulated, threads in forward order\n", ended.stderr


def test_without_numba_cuda_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "conformance.adapters.numba_cuda")
    monkeypatch.setitem(sys.modules, "refimpl.fast.cuda.device", None)
    with pytest.raises(DoesNotStart, match=r"pip install 'caffe-loss-conformance\[cuda\]'"):
        open_implementation("numba-cuda")
