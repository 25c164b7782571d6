"""Timing on a GPU, as far as it can be shown without one: what is called in which order, and that the answer is right.

The kernels run on the simulator; the clock is a list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray

from conformance.losses import LOSSES
from conformance.timing.expectation import expect
from conformance.timing.gpu import MOST_SETS, UNTESTED, WARM, Gpu
from conformance.timing.measure import Plan, measure
from conformance.timing.problem import DTYPES, MODES, Problem
from conformance.timing.result import schema
from conformance.timing.sizes import Size
from conformance.timing.subjects import NotTimed, open_subject
from conformance.timing.subjects.copying_cuda import CopyingOnGpu
from conformance.timing.subjects.numba_cuda import NumbaCUDA, rotating
from conformance.timing.worker import Worker
from refimpl.fast.cuda.device import NoDevice, gpu
from refimpl.fast.cuda.simulator import Simulator
from tests.command_line import Lossconf, lossconf_in

SMALL = Size("small", (6, 5))
IGNORING = Size("ignoring", (3, 4, 2, 2), ignored=0.3)


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


class Shaped:
    """Simulated memory with the shape that its owner gave it."""

    def __init__(self, memory: Any, shape: tuple[int, ...]) -> None:
        self.memory, self.shape = memory, shape

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.memory.__cuda_array_interface__, "shape": self.shape}

    def copy_to_device(self, other: Shaped) -> None:
        self.memory.cells[...] = other.memory.cells


class Event:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def record(self) -> None:
        self.log.append(f"record {self.name}")

    def synchronize(self) -> None:
        self.log.append(f"wait for {self.name}")


class Cuda:
    """What `Gpu` uses of ``numba.cuda``."""

    def __init__(self, log: list[str]) -> None:
        self.log, self.events = log, iter(("start", "end") * 1000)

    def event(self) -> Event:
        return Event(self.log, next(self.events))

    def event_elapsed_time(self, start: Event, end: Event) -> float:
        return 6.0


class Simulated(Gpu):
    """A device of 4 KiB of cache and 1 MiB of memory."""

    def __init__(self) -> None:
        self.log: list[str] = []
        super().__init__(Simulator(), Cuda(self.log))

    def described(self) -> dict[str, Any]:
        return {"device": self.device.name}

    def cache(self) -> int:
        return 1 << 12

    def copy(self, array: NDArray[Any]) -> Any:
        return Shaped(self.device.copy(array), array.shape)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return Shaped(self.device.empty(int(np.prod(shape)), dtype), shape)

    def fetch(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.memory.cells.reshape(array.shape))

    def _memory(self) -> tuple[int, int]:
        return 1 << 20, 1 << 20


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LOSSES)
def test_what_is_timed_computes_the_loss_and_the_gradients(layer: str, dtype: str) -> None:
    problem = Problem(layer, SMALL, dtype)
    prepared = NumbaCUDA(Simulated()).prepare(problem)
    assert set(prepared.calls) == set(MODES)
    for call in prepared.calls.values():
        call()
    expectation = expect(problem)
    loss, gradients = prepared.answer()
    picked = [gradient.reshape(-1)[expectation.entries] for gradient in gradients]
    assert expectation.judge(loss, picked).accepted


@pytest.mark.parametrize("layer", ["softmax_with_loss", "infogain_loss", "sigmoid_cross_entropy_loss"])
def test_ignored_labels_are_passed_on(layer: str) -> None:
    problem = Problem(layer, IGNORING, "float64")
    expectation = expect(problem)
    loss, gradients = NumbaCUDA(Simulated()).prepare(problem).answer()
    picked = [gradient.reshape(-1)[expectation.entries] for gradient in gradients]
    assert expectation.judge(loss, picked).accepted


def test_calls_go_round_in_more_arrays_than_the_cache_holds() -> None:
    device = Simulated()
    assert device.sets(1 << 10) == 16
    assert device.sets(1) == MOST_SETS
    assert device.sets(1 << 18) == 1
    with pytest.raises(NotTimed, match=r"needs 0\.0 GiB on the device"):
        device.sets(1 << 19)
    seen: list[int] = []
    turn = rotating([lambda i=i: seen.append(i) for i in range(3)])
    for _ in range(7):
        turn()
    assert seen == [0, 1, 2, 0, 1, 2, 0]


def test_calls_are_timed_between_two_events_after_a_warm_up() -> None:
    device = Simulated()
    assert device.seconds(lambda: device.log.append("call"), 3) == pytest.approx(6e-3 / 3)
    assert device.log == ["call"] * WARM + ["record start", *["call"] * 3, "record end", "wait for end"]


def test_no_call_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = NumbaCUDA(Simulated()).prepare(Problem("softmax_with_loss", IGNORING, "float32"))

    def refuse(*_: object) -> None:
        raise AssertionError("waits for the device")

    monkeypatch.setattr(Simulator, "fetch", refuse)
    for call in prepared.calls.values():
        call()


def test_a_copy_moves_half_of_the_traffic_each_way() -> None:
    calls = CopyingOnGpu(Simulated()).prepare(Problem("euclidean_loss", SMALL, "float32"), ("both",)).calls
    calls["both"]()
    (turns,) = (cell.cell_contents for cell in (calls["both"].__closure__ or ()))
    source = next(turns).args[0]
    assert source.memory.size == 4 * 30 * 4 // 2


def test_a_worker_times_with_the_subjects_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Simulated()
    monkeypatch.setattr("conformance.timing.worker.open_subject", lambda spec, threads: NumbaCUDA(device))
    worker = Worker("numba-cuda", 1)
    worker.open({})
    fields = {"layer": "euclidean_loss", "size": "small", "shape": [6, 5], "ignored": 0.0, "dtype": "float32"}
    assert worker.prepare({"modes": ["both"], **fields}) == {"modes": ["both"]}
    assert worker.loops == {"both": 1}
    assert worker.sample({"modes": ["both"]})["samples"]["both"][0] == pytest.approx(6e-3)
    assert worker.memory({}) == {"bytes": None}


def test_the_copy_is_the_devices_where_the_first_is_on_it() -> None:
    plan = Plan(("numba-cuda", "numba-cpu"), (), MODES, 1, 1)
    assert plan.copy == "copy:cuda"
    assert Plan(("numba-cpu", "numba-cuda"), (), MODES, 1, 1).copy == "copy"


def test_a_result_says_that_nobody_has_confirmed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def open(self) -> Any:
            return NumbaCUDA(Simulated()).about()

        def close(self) -> None:
            pass

    monkeypatch.setattr("conformance.timing.measure.contestant", lambda spec, threads: Opened())
    lines: list[str] = []
    result = measure(Plan(("numba-cuda",), (), MODES, 1, 1), lines.append)
    assert UNTESTED in result.warnings
    jsonschema.validate(json.loads(json.dumps(result.to_json())), schema())
    assert lines == [UNTESTED]
    assert "simulated" in result.subjects["numba-cuda"].environment["device"]


def _without_gpu() -> bool:
    try:
        gpu()
    except NoDevice:
        return True
    return False


@pytest.mark.skipif(not _without_gpu(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("spec", "said"),
    [("numba-cuda", "times need an NVIDIA GPU"), ("numba-cuda:--simulate", "says nothing about times")],
)
def test_without_a_gpu_the_command_ends_with_one_line(lossconf: Lossconf, spec: str, said: str) -> None:
    done = lossconf("bench", spec, "--size", "tiny", "--layer", "hinge_loss")
    assert done.code == 6
    assert said in done.err
    assert len((done.out + done.err).strip().splitlines()) == 1


def test_torch_without_cuda_is_not_timed_there() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this PyTorch has CUDA")
    with pytest.raises(NotTimed, match="no CUDA device"):
        open_subject("torch:cuda", 1)
