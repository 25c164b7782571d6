"""Threads of `refimpl.fast`: results do not depend on their number, forks and other threads do no harm, small sizes
have none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from refimpl import fast
from refimpl.fast.cpu import softmax_with_loss as softmax_module
from refimpl.fast.cpu import threads
from refimpl.fast.cpu.kernel import DONE, WRONG_LABEL

RNG = np.random.default_rng(11)
WIDE, DENSE = RNG.normal(size=(700, 517)), RNG.normal(size=(3, 21, 60, 91))
OTHER, TARGETS, MATRIX = RNG.normal(size=WIDE.shape), RNG.random(WIDE.shape), RNG.random((517, 517))
LABELS, DENSE_LABELS = RNG.integers(0, 517, 700), RNG.integers(0, 21, (3, 60, 91))


def everything(dtype: Any, count: int | None) -> list[bytes]:
    """Every loss and gradient of inputs large enough for several threads, as bytes."""
    results: list[bytes] = []

    def keep(loss: float, *outputs: Any) -> None:
        results.extend([np.float64(loss).tobytes(), *(out.tobytes() for out in outputs)])

    wide, dense, other, targets, matrix = (a.astype(dtype) for a in (WIDE, DENSE, OTHER, TARGETS, MATRIX))
    labels, dense_labels = LABELS.astype(dtype), DENSE_LABELS.astype(dtype)
    out, second, dense_out = np.empty_like(wide), np.empty_like(wide), np.empty_like(dense)
    keep(fast.softmax_with_loss(wide, labels, out=out, prob=second, threads=count), out, second)
    softmax_module.backward(second, labels, top_diff=0.7, out=second, threads=count)
    keep(0, second)
    keep(fast.softmax_with_loss(dense, dense_labels, ignore_label=3, out=dense_out, threads=count), dense_out)
    keep(fast.infogain_loss(wide, labels, matrix, out=out, threads=count), out)
    keep(fast.infogain_loss(dense, dense_labels, matrix[:21, :21], out=dense_out, threads=count), dense_out)
    keep(
        fast.sigmoid_cross_entropy_loss(wide, targets, normalization="VALID", ignore_label=1, out=out, threads=count),
        out,
    )
    keep(fast.euclidean_loss(wide, other, out_a=out, out_b=second, threads=count), out, second)
    keep(fast.hinge_loss(wide, labels, norm="L2", out=out, threads=count), out)
    keep(fast.multinomial_logistic_loss(targets, labels, out=out, threads=count), out)
    keep(
        fast.contrastive_loss(wide, other, labels % 2, margin=33.0, out_a=out, out_b=second, threads=count), out, second
    )
    return results


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(dtype: Any) -> None:
    one = everything(dtype, 1)
    for count in (2, 3, 7, None):
        assert everything(dtype, count) == one


def test_runs_do_not_differ_by_a_bit() -> None:
    first = everything(np.float32, 4)
    assert all(everything(np.float32, 4) == first for _ in range(5))


def test_threads_do_engage() -> None:
    """Otherwise the tests above would prove nothing."""
    assert WIDE.size > threads.SHARE * 4
    fast.euclidean_loss(WIDE, OTHER, threads=4)
    names = {t.name for t in threading.enumerate() if t.name.startswith("refimpl.fast")}
    assert len(names) >= 3


def test_several_python_threads_may_call_at_once() -> None:
    want = everything(np.float32, 1)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: everything(np.float32, 3), range(12)))
    assert all(result == want for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    """The parent's threads do not exist in the child; it starts its own."""
    want = everything(np.float32, 3)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if everything(np.float32, 3) == want else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert everything(np.float32, 3) == want


def test_an_error_of_a_kernel_reaches_the_caller() -> None:
    def kernel(first: int, last: int, sums: Any) -> int:
        if first > 0:
            raise ArithmeticError(f"chunk {first}")
        sums[first:last] = 1
        return DONE

    with pytest.raises(ArithmeticError, match="chunk"):
        threads.spread(kernel, 100, 10**7, 3)


def test_partial_sums_are_added_in_their_order() -> None:
    parts = [1e16, 1.0, -1e16, 1.0, 3.0, 1e-3] * 50

    def kernel(first: int, last: int, sums: Any) -> int:
        sums[first:last] = parts[first:last]
        return DONE

    total = 0.0
    for part in parts:
        total += part
    for count in (1, 2, 5):
        assert threads.spread(kernel, len(parts), 10**8, count) == (total, DONE)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_worst_status_is_the_status(count: int) -> None:
    def kernel(first: int, last: int, sums: Any) -> int:
        sums[first:last] = 1
        return WRONG_LABEL if first <= 70 < last else DONE

    assert threads.spread(kernel, 100, 10**8, count) == (100, WRONG_LABEL)


@pytest.mark.parametrize(("chosen", "count"), [("3", 3), ("2,4", 2), ("", None), ("0", None), ("many", None)])
def test_omp_num_threads_is_the_default(monkeypatch: pytest.MonkeyPatch, chosen: str, count: int | None) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert threads.available_threads() == (count or len(os.sched_getaffinity(0)))


SMALL = """
import threading
import numpy as np
from refimpl import fast
x = np.ones((256, 200), np.float32)
fast.hinge_loss(x, np.zeros(256, np.float32), out=np.empty_like(x))
fast.softmax_with_loss(x[:64, :10].copy(), np.zeros(64, np.float32), threads=8)
fast.softmax_with_loss(x, np.zeros(256, np.float32))
assert threading.active_count() == 1, threading.enumerate()
"""


def test_small_inputs_start_no_threads() -> None:
    subprocess.run([sys.executable, "-c", SMALL], check=True)


TORCH = """
import torch
import numpy as np
from refimpl import fast
x = np.random.default_rng(0).normal(size=(800, 500)).astype(np.float32)
y, out = np.zeros(800, np.int64), np.empty_like(x)
t = torch.tensor(x, requires_grad=True)
for _ in range(3):
    t.grad = None
    loss = torch.nn.functional.cross_entropy(t, torch.tensor(y))
    loss.backward()
    assert abs(fast.softmax_with_loss(x, y, out=out, threads=4) - float(loss)) < 1e-5
    assert np.abs(out - t.grad.numpy()).max() < 1e-9
"""


def test_torch_may_work_in_the_same_process() -> None:
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-W", "ignore", "-c", TORCH], check=True)
