"""Arguments of the CUDA layers: NumPy's arrays and a device's, in and out; and when anybody waits for the device."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.fast.cuda.arguments import floats, integers
from refimpl.fast.cuda.contrastive_loss import contrastive_loss
from refimpl.fast.cuda.device import NoDevice, current, using
from refimpl.fast.cuda.euclidean_loss import backward, euclidean_loss
from refimpl.fast.cuda.infogain_loss import infogain_loss
from refimpl.fast.cuda.memory import Memory
from refimpl.fast.cuda.simulator import Simulator
from refimpl.fast.cuda.softmax_with_loss import softmax_with_loss

A = np.array([[1, 2, 4], [0, -1, 3]], np.float32)
B = np.array([[0, 2, 1], [1, 1, 3]], np.float32)
LOSS, GRADIENT = 15 / 4, (A - B) / 2


class Foreign:
    """Somebody else's device array: it has an interface, a shape, and nothing else."""

    def __init__(self, memory: Memory, shape: tuple[int, ...], **told: Any) -> None:
        self.owner = memory
        self.__cuda_array_interface__ = {**memory.__cuda_array_interface__, "shape": shape, "strides": None, **told}


class Waiting(Simulator):
    """Counts how often the host waits for the device."""

    waits = 0

    def fetch(self, array: Memory) -> NDArray[Any]:
        self.waits += 1
        return super().fetch(array)


@pytest.fixture
def device() -> Iterator[Waiting]:
    chosen = Waiting()
    with using(chosen):
        yield chosen


def on(device: Simulator, array: NDArray[Any]) -> Foreign:
    return Foreign(device.copy(array), array.shape)


def test_numpy_arrays_of_any_layout_go_in_and_out(device: Waiting) -> None:
    out_a, out_b = np.empty((3, 2), np.float32).T, np.empty((2, 3), np.float32)
    assert euclidean_loss(np.asfortranarray(A), B[::1], out_a=out_a, out_b=out_b) == LOSS
    assert (out_a == GRADIENT).all()
    assert (out_b == -GRADIENT).all()


def test_device_arrays_are_used_in_place(device: Waiting) -> None:
    out = device.empty(6, np.float32)
    assert euclidean_loss(on(device, A), on(device, B), out_a=Foreign(out, (2, 3))) == LOSS
    assert (out.cells.reshape(2, 3) == GRADIENT).all()
    assert device.waits == 1


def test_nobody_waits_where_all_arrays_are_the_devices(device: Waiting) -> None:
    out, loss, weight = device.empty(6, np.float32), device.empty(1, np.float32), device.copy(np.float32([4]))
    a, b = on(device, A), on(device, B)
    assert euclidean_loss(a, b, loss=Foreign(loss, ())) is None
    backward(a, b, top_diff=Foreign(weight, ()), out_a=Foreign(out, (2, 3)))
    assert device.waits == 0
    assert loss.cells.tolist() == [LOSS]
    assert (out.cells.reshape(2, 3) == 4 * GRADIENT).all()


def test_a_loss_array_of_numpy_is_filled(device: Waiting) -> None:
    loss = np.empty((), np.float32)
    assert euclidean_loss(A, B, loss=loss) is None
    assert loss == LOSS


def test_a_wrong_label_on_the_device_makes_the_loss_there_nan(device: Waiting) -> None:
    loss = device.empty(1, np.float32)
    softmax_with_loss(on(device, A), on(device, np.array([0, 3])), loss=Foreign(loss, (1,)))
    assert np.isnan(loss.cells).all()
    assert device.waits == 0
    with pytest.raises(ValueError, match=r"^label 3 at \(1,\) is outside 0\.\.2"):
        softmax_with_loss(on(device, A), on(device, np.array([0, 3])))


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.int32, np.int64, np.float16, np.float64, bool])
def test_labels_may_have_any_real_type(dtype: Any, device: Waiting) -> None:
    assert softmax_with_loss(A, np.array([1, 0], dtype)) == softmax_with_loss(A, np.array([1, 0]))


def no_simulation(device: Simulator) -> Any:
    return Foreign(device.copy(A), (2, 3), data=(0x7F0000000000, False))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: euclidean_loss(A.astype(int), B), TypeError, "a has dtype int64: give float32 or float64"),
        (lambda d: euclidean_loss(on(d, A.astype(int)), B), TypeError, "a has dtype int64: give float32 or float64"),
        (lambda d: euclidean_loss(A, B.astype(np.float64)), TypeError, "b has dtype float64: give it the dtype"),
        (lambda d: euclidean_loss(A, on(d, B.astype(np.float64))), TypeError, "b has dtype float64: give it the dtype"),
        (lambda d: euclidean_loss(A, B[:1]), ValueError, r"the inputs have shapes \(2, 3\) and \(1, 3\)"),
        (lambda d: euclidean_loss(A[:0], B[:0]), ValueError, r"a is empty \(shape \(0, 3\)\)"),
        (lambda d: euclidean_loss(Foreign(d.empty(0, "f4"), (0, 3)), B), ValueError, r"a is empty \(shape \(0, 3\)\)"),
        (lambda d: euclidean_loss(Foreign(d.copy(A), (2, 3), strides=(4, 8)), B), ValueError, r"strides \(4, 8\)"),
        (lambda d: euclidean_loss(Foreign(d.copy(A), (2, 3), typestr=">f4"), B), TypeError, "give native byte order"),
        (lambda d: euclidean_loss(Foreign(d.copy(A), (2, 3), mask=d), B), ValueError, "a is a masked device array"),
        (lambda d: euclidean_loss(A, B, out_a=[1]), TypeError, "out_a is a list: give a NumPy or a device array"),
        (lambda d: euclidean_loss(A, B, out_b=A[:1]), ValueError, r"out_b is float32 of shape \(1, 3\): it should be"),
        (lambda d: euclidean_loss(A, B, out_a=np.broadcast_to(A[:1], (2, 3))), ValueError, "out_a is read-only"),
        (lambda d: euclidean_loss(A, B, top_diff=[1, 2], out_a=A.copy()), ValueError, r"top_diff has shape \(2,\)"),
        (
            lambda d: euclidean_loss(A, B, top_diff=on(d, np.ones(1)), out_a=A.copy()),
            TypeError,
            "top_diff has dtype float64: give it the dtype",
        ),
        (lambda d: euclidean_loss(A, B, loss=np.empty(2, np.float32)), ValueError, "loss has 2 entries"),
        (lambda d: euclidean_loss(no_simulation(d), B), ValueError, "cannot read the memory of a real GPU"),
        (lambda d: softmax_with_loss(A, ["a", "b"]), TypeError, "labels has dtype <U1: give numbers"),
        (
            lambda d: softmax_with_loss(A, on(d, np.int8([0, 1]))),
            TypeError,
            "labels has dtype int8: on the device give",
        ),
        (lambda d: softmax_with_loss(A, [0]), ValueError, r"1 label\(s\) for 2 position\(s\)"),
        (lambda d: softmax_with_loss(A, [0, 1], axis=2), ValueError, "axis 2 is out of range"),
        (lambda d: softmax_with_loss(A, [0, 1], normalization="ALL"), ValueError, "normalization is 'ALL'"),
        (lambda d: infogain_loss(A, [0, 1], A), ValueError, r"matrix has 6 entries .* give 3 x 3"),
        (lambda d: contrastive_loss(A, B, [1]), ValueError, r"1 label\(s\)"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(call: Any, error: Any, message: str, device: Waiting) -> None:
    with pytest.raises(error, match=message) as told:
        call(device)
    assert "\n" not in str(told.value)


def test_inputs_keep_their_shape_and_type(device: Waiting) -> None:
    x = floats(device, A, "x")
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float32)
    assert integers(device, np.array([[1], [2]], np.int16), "labels", x).dtype == np.int64


def test_without_a_gpu_and_without_a_simulator_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from refimpl.fast.cuda import device as module

    module.gpu.cache_clear()
    monkeypatch.setattr(module.config, "ENABLE_CUDASIM", 0)
    monkeypatch.setattr(module.cuda, "is_available", lambda: False)
    with pytest.raises(NoDevice, match=r"^Numba finds no GPU \(.+\)$"):
        current()
    with pytest.raises(NoDevice):
        euclidean_loss(A, B)


def test_arrays_of_a_gpu_go_there_and_back() -> None:
    """By Numba's own simulator, which has the arrays of a GPU, in a process of its own."""
    program = """
import numpy as np
from refimpl.fast.cuda.device import Gpu
gpu = object.__new__(Gpu)  # no driver to ask for its name
there = gpu.copy(np.arange(6.0).reshape(2, 3).T)
assert there.shape == (6,) and gpu.fetch(there).tolist() == [0, 3, 1, 4, 2, 5]
assert gpu.empty(0, np.int64).size == 0 and gpu.empty(3, np.float32).dtype == np.float32
"""
    hidden = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=hidden)
    assert ended.returncode == 0, ended.stderr


def test_a_small_launch_warns_nobody() -> None:
    from refimpl.fast.cuda.device import _configured
    from refimpl.fast.cuda.normaliser import add_losses

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _configured(add_losses, 1) is _configured(add_losses, 1)
