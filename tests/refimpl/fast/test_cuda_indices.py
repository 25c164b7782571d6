"""The index arithmetic of the CUDA kernels where blobs have more than 2^31 and 2^32 entries.

No such launch can be simulated, so it is the arithmetic itself that is held against exact integers: the functions that
kernels call, compiled by Numba as they are compiled into kernels, on the types that CUDA gives them (thread and block
numbers are int32). ``tests/refimpl/fast/test_cuda_assemble.py`` is about the instructions that become of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numba import njit, types

from refimpl.fast.cuda.grid import BLOCK, MOST_BLOCKS, blocks, flat_index
from refimpl.fast.cuda.team import base_of, team_blocks, team_width

INT32, INT64 = 2**31 - 1, 2**63 - 1
LARGEST = 2**40
"""Entries of the largest blob that is thought of: 4 TiB of float32."""

blocks_numbered = st.integers(0, INT32)
"""Of a one-dimensional grid."""

threads = st.integers(0, 1023)
entries = st.integers(1, LARGEST) | st.integers(2**31 - 300, 2**31 + 300) | st.integers(2**32 - 300, 2**32 + 300)
extents = st.integers(1, 2**33)


@njit
def compiled_flat_index(block: Any, width: Any, thread: Any) -> Any:
    return flat_index(block, width, thread)


@njit
def compiled_base_of(position: Any, classes: Any, inner: Any) -> Any:
    return base_of(position, classes, inner)


@pytest.mark.parametrize("function", [flat_index, compiled_flat_index], ids=["plain", "compiled"])
@given(block=blocks_numbered, width=st.integers(1, 1024), thread=threads)
@example(block=2**24, width=BLOCK, thread=0)
@example(block=2**24 - 1, width=BLOCK, thread=BLOCK - 1)
@example(block=2**25, width=BLOCK, thread=1)
@example(block=INT32, width=1024, thread=1023)
def test_a_flat_index_is_exact_beyond_int32(function: Callable[..., Any], block: int, width: int, thread: int) -> None:
    index = function(np.int32(block), np.int32(width), np.int32(thread))
    assert int(index) == block * width + thread
    assert np.asarray(index).dtype == np.int64


@pytest.mark.parametrize("function", [base_of, compiled_base_of], ids=["plain", "compiled"])
@given(outer=extents, classes=extents, inner=extents, data=st.data())
def test_the_base_of_a_position_is_exact_beyond_int32(
    function: Callable[..., Any], outer: int, classes: int, inner: int, data: st.DataObject
) -> None:
    assume(outer * classes * inner < INT64)
    position = data.draw(st.integers(0, outer * inner - 1) | st.just(outer * inner - 1))
    base = int(function(np.int64(position), np.int64(classes), np.int64(inner)))
    assert base == position // inner * classes * inner + position % inner
    assert base + (classes - 1) * inner < outer * classes * inner


@given(block=st.integers(0, MOST_BLOCKS - 1), inner=st.integers(2, 64), classes=st.integers(2, 2**20))
def test_the_base_of_a_position_takes_thread_numbers_as_they_are(block: int, inner: int, classes: int) -> None:
    position = compiled_flat_index(np.int32(block), np.int32(BLOCK), np.int32(BLOCK - 1))
    base = int(compiled_base_of(position, np.int32(classes), np.int32(inner)))
    assert base == int(position) // inner * classes * inner + int(position) % inner


@given(items=entries, per_block=st.sampled_from([1, 4, 8, 16, 32, 64, BLOCK]), data=st.data())
@example(items=2**31, per_block=BLOCK, data=None)
@example(items=2**31 + 1, per_block=BLOCK, data=None)
@example(items=2**32 + 1, per_block=BLOCK, data=None)
def test_every_entry_has_its_thread_and_every_thread_its_first_entry(
    items: int, per_block: int, data: st.DataObject | None
) -> None:
    count = blocks(items, per_block)
    assert 1 <= count <= MOST_BLOCKS
    assert (count - 1) * per_block < items
    entry = items - 1 if data is None else data.draw(st.integers(0, items - 1) | st.just(items - 1))
    stride = int(compiled_flat_index(np.int32(count), np.int32(per_block), np.int32(0)))
    block, slot = divmod(entry % stride, per_block)
    assert block < count
    first = int(compiled_flat_index(np.int32(block), np.int32(per_block), np.int32(slot)))
    assert entry in range(first, items, stride)


@given(positions=entries, classes=st.integers(1, 4096), inner=st.integers(1, 4096))
def test_teams_are_powers_of_two_that_fill_a_block(positions: int, classes: int, inner: int) -> None:
    width = team_width(classes, inner)
    assert math.log2(width).is_integer()
    assert BLOCK % width == 0
    assert team_blocks(positions, width) * (BLOCK // width) >= min(positions, MOST_BLOCKS * (BLOCK // width))
    assert inner == 1 or width == 1


@pytest.mark.parametrize("function", [compiled_flat_index, compiled_base_of])
def test_indices_of_int32_numbers_are_typed_int64(function: Any) -> None:
    function(np.int32(1), np.int32(2), np.int32(3))
    signatures = {signature.args: signature.return_type for signature in function.nopython_signatures}
    assert signatures[(types.int32, types.int32, types.int32)] == types.int64
