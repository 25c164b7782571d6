"""The simulator: what CUDA threads do together, and that what a GPU leaves undefined is an error with a place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import cuda
from numba.extending import register_jitable

from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.memory import SimulationError, TooLarge
from refimpl.fast.cuda.simulator import MOST_ENTRIES, Simulator

ALL = 0xFFFFFFFF


def launch(function: Any, *arrays: Any, block: int = 64, blocks: int = 1, order: str = "forward", seed: int = 0) -> Any:
    """Run a kernel over device copies of the arrays; the first one afterwards."""
    device = Simulator(order, seed)
    copies = [device.empty(a, np.float64) if isinstance(a, int) else device.copy(a) for a in arrays]
    device.launch(Kernel("test.kernel", function, (), (), block), blocks, *copies)
    return device.fetch(copies[0])


def numbered(out: Any) -> None:
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < out.size:
        out[i] = i + 1000 * cuda.gridDim.x


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_threads_know_their_place(order: str) -> None:
    assert launch(numbered, 100, blocks=2, order=order).tolist() == [2000 + i for i in range(100)]


def shuffles(out: Any) -> None:
    lane = cuda.threadIdx.x % 32
    value = 10 * cuda.threadIdx.x
    out[4 * cuda.threadIdx.x] = cuda.shfl_xor_sync(ALL, value, 1)
    out[4 * cuda.threadIdx.x + 1] = cuda.shfl_up_sync(ALL, value, 2)
    out[4 * cuda.threadIdx.x + 2] = cuda.shfl_down_sync(ALL, value, 2)
    out[4 * cuda.threadIdx.x + 3] = cuda.shfl_sync(ALL, value, 5 if lane > 5 else 0)


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_shuffles_exchange_values_within_a_warp(order: str) -> None:
    xor, up, down, other = launch(shuffles, 256, order=order).reshape(64, 4).T / 10
    lanes, threads = np.arange(64) % 32, np.arange(64)
    assert (xor == threads ^ 1).all()
    assert (up == np.where(lanes < 2, threads, threads - 2)).all()
    assert (down == np.where(lanes > 29, threads, threads + 2)).all()
    assert (other == threads - lanes + np.where(lanes > 5, 5, 0)).all()


def votes(out: Any) -> None:
    few = cuda.threadIdx.x in (3, 4, 40)
    out[cuda.threadIdx.x] = (
        cuda.syncthreads_count(few)
        + 100 * cuda.ballot_sync(ALL, few)
        + 0.25 * cuda.any_sync(ALL, few)
        + 0.5 * cuda.all_sync(ALL, few)
        + 0.125 * cuda.syncthreads_or(few)
        + 0.0625 * cuda.syncthreads_and(few)
    )


def test_votes_are_counted_over_warps_and_blocks() -> None:
    out = launch(votes, 64)
    assert (out[:32] == 3 + 100 * 24 + 0.25 + 0.125).all()
    assert (out[32:] == 3 + 100 * 256 + 0.25 + 0.125).all()


@register_jitable
def other_half(cells: Any) -> Any:
    cuda.syncthreads()
    return cells[63 - cuda.threadIdx.x]


def reversed_through_shared(out: Any) -> None:
    cells = cuda.shared.array(64, np.float64)
    cells[cuda.threadIdx.x] = cuda.threadIdx.x
    out[cuda.threadIdx.x] = other_half(cells)


def reversed_without_barrier(out: Any) -> None:
    cells = cuda.shared.array(64, np.float64)
    cells[cuda.threadIdx.x] = cuda.threadIdx.x
    out[cuda.threadIdx.x] = cells[63 - cuda.threadIdx.x]


def swapped_by_warp(out: Any) -> None:
    cells = cuda.shared.array(64, np.float64)
    cells[cuda.threadIdx.x] = cuda.threadIdx.x
    cuda.syncwarp()
    out[cuda.threadIdx.x] = cells[cuda.threadIdx.x ^ 1]


def warps_without_barrier(out: Any) -> None:
    cells = cuda.shared.array(64, np.float64)
    cells[cuda.threadIdx.x] = cuda.threadIdx.x
    cuda.syncwarp()
    out[cuda.threadIdx.x] = cells[cuda.threadIdx.x ^ 32]


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_a_barrier_makes_shared_memory_safe(order: str) -> None:
    assert launch(reversed_through_shared, 64, order=order).tolist() == list(range(63, -1, -1))
    assert launch(swapped_by_warp, 64, order=order).tolist() == [i ^ 1 for i in range(64)]


def one_cell(out: Any) -> None:
    out[0] = cuda.threadIdx.x


def one_cell_for_all_blocks(out: Any) -> None:
    if cuda.threadIdx.x == 0:
        out[0] = 1


def unwritten_shared(out: Any) -> None:
    cells = cuda.shared.array(64, np.float64)
    out[cuda.threadIdx.x] = cells[cuda.threadIdx.x]


def unwritten_global(out: Any) -> None:
    out[cuda.threadIdx.x] = out[cuda.threadIdx.x] + 1


def beyond(out: Any) -> None:
    out[cuda.threadIdx.x + 1] = 0


def before(out: Any) -> None:
    out[cuda.threadIdx.x - 1] = 0


def barrier_for_some(out: Any) -> None:
    if cuda.threadIdx.x < 40:
        cuda.syncthreads()


def two_barriers(out: Any) -> None:
    if cuda.threadIdx.x < 40:
        cuda.syncthreads()
    else:
        cuda.syncthreads()


def shuffle_for_some(out: Any) -> None:
    if cuda.threadIdx.x % 32 != 7:
        cuda.shfl_xor_sync(ALL, 1, 1)


def shuffle_from_nobody(out: Any) -> None:
    if cuda.threadIdx.x < 8:
        cuda.shfl_sync(0xFF, 1, 9)


def too_much_shared(out: Any) -> None:
    cuda.shared.array(6000, np.float64)
    cuda.shared.array(200, np.float64)


def two_on_a_line(out: Any) -> None:
    out[cuda.threadIdx.x] = cuda.syncthreads_or(1) + cuda.syncthreads_or(0)


def two_arrays_on_a_line(out: Any) -> None:
    cuda.shared.array(1, np.float64), cuda.shared.array(1, np.float64)


def not_simulated(out: Any) -> None:
    cuda.atomic.add(out, 0, 1)


def wrong_type(out: Any) -> None:
    out[0.5] = 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (reversed_without_barrier, r"thread \d+ of block 0 .* shared memory 0\[\d+\], which"),
        (warps_without_barrier, r"thread \d+ of block 0 .* shared memory 0\[\d+\], which"),
        (one_cell, r"writes out\[0\], which thread 0 of block 0 writes with no barrier between"),
        (one_cell_for_all_blocks, r"thread 0 of block 1 writes out\[0\], which thread 0 of block 0 writes"),
        (unwritten_shared, r"reads shared memory 0\[0\], which nothing was written to"),
        (unwritten_global, r"reads out\[0\], which nothing was written to"),
        (beyond, r"thread 63 of block 0 touches out\[64\], which has 64 entries"),
        (before, r"thread 0 of block 0 touches out\[-1\]"),
        (
            barrier_for_some,
            r"block 0: threads do not meet: threads 0-39: waits for syncthreads .*; threads 40-63: ended",
        ),
        (two_barriers, r"threads 0-39: waits for syncthreads at .*:\d+; threads 40-63: waits for syncthreads"),
        (shuffle_for_some, r"threads 0-6, 8-38, 40-63: waits for shuffle .* mask 0xffffffff; threads 7, 39: ended"),
        (shuffle_from_nobody, r"block 0 asks for the value of lane 9, which takes no part in the shuffle"),
        (too_much_shared, r"49600 bytes of shared memory: a block has 49152"),
        (not_simulated, r"cuda\.atomic, which is not simulated"),
        (wrong_type, r"raises TypeError"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_gpu_leaves_undefined_is_an_error(function: Any, message: str) -> None:
    with pytest.raises(SimulationError, match=rf"^test\.kernel: .*{message}"):
        launch(function, 64, blocks=2)


@pytest.mark.parametrize("function", [two_on_a_line, two_arrays_on_a_line])
def test_places_that_cannot_be_told_apart_are_refused(function: Any) -> None:
    with pytest.raises(SimulationError, match=rf"line \d+ of {function.__name__} has 2 barriers, shuffles or arrays"):
        launch(function, 64)


def test_a_block_has_at_most_1024_threads() -> None:
    assert launch(numbered, 1024, block=1024).size == 1024
    with pytest.raises(SimulationError, match="a block of 1025 threads"):
        launch(numbered, 1025, block=1025)


def test_the_host_may_not_read_what_no_thread_wrote() -> None:
    with pytest.raises(SimulationError, match="nothing was written to its entry 64"):
        launch(numbered, 65)


def test_memory_is_poisoned() -> None:
    device = Simulator()
    assert np.isnan(device.empty(3, np.float32).cells).all()
    assert (device.empty(3, np.int64).cells == -1).all()


def test_large_arrays_are_refused_with_their_size() -> None:
    with pytest.raises(TooLarge, match=f"{MOST_ENTRIES + 1} entries: the simulator takes at most {MOST_ENTRIES}"):
        Simulator().empty(MOST_ENTRIES + 1, np.float32)


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="forward, reverse, shuffled: got 'sideways'"):
        Simulator("sideways")


def test_orders_are_what_they_are_called_and_a_seed_draws_one() -> None:
    def seen(order: str, seed: int = 0) -> list[int]:
        device, kernel = Simulator(order, seed), Kernel("test.kernel", watched, (), (), 8)
        out: list[int] = []
        SEEN.append(out)
        device.launch(kernel, 1)
        return SEEN.pop()

    assert seen("forward") == list(range(8))
    assert seen("reverse") == list(range(7, -1, -1))
    assert seen("shuffled", 1) == seen("shuffled", 1) != seen("shuffled", 2)
    assert sorted(seen("shuffled", 2)) == list(range(8))


SEEN: list[list[int]] = []


def watched() -> None:
    SEEN[-1].append(cuda.threadIdx.x)


def test_an_exception_that_is_no_error_of_the_kernel_passes_through() -> None:
    class Interrupted(Exception):
        pass

    def interrupted() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        Simulator().launch(Kernel("test.kernel", interrupted, (), (), 1), 1)
