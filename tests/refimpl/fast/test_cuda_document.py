"""``docs/cuda.md`` says what is so, and what is predicted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refimpl.fast.cuda import assemble, grid, team
from refimpl.fast.cuda.kernel import kernels
from tests.cuda_bugs.bugs import BUGS

PAGE = (Path(__file__).parents[3] / "docs" / "cuda.md").read_text("utf-8")


def test_its_table_of_compiled_kernels_has_every_kernel_type_and_capability() -> None:
    found = re.findall(r"^\| ([\w.]+) \| (float\d\d) \| (\d+) \| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)
    expected = [
        (kernel.name, dtype, str(kernel.block), str(kernel.shared(dtype)))
        for kernel in kernels()
        for dtype in ("float32", "float64")
    ]
    assert [row[:4] for row in found] == expected
    capabilities = " | ".join(f"{major}.{minor}" for major, minor in assemble.WANTED)
    assert f"| kernel | type | block | shared | {capabilities} |" in PAGE
    assert all(re.fullmatch(r"( \d+, \d+% \|){5} \d+, \d+% ", row[4]) for row in found)


def test_it_predicts_a_time_for_every_kernel() -> None:
    """Bytes read and written over the bandwidth, for 2^26 entries on an A100, but for what is read per sample."""
    rows = re.findall(
        r"^\| ([\w.]+) \|( (?:\d )?s?) \|( (?:\d )?s?) \|(?:.*\|){3} (.*) \|.*\|.*\|$", PAGE, re.MULTILINE
    )
    assert [row[0] for row in rows] == [kernel.name for kernel in kernels()]
    for _, *arrays, predicted in rows:
        moved = sum(int(text.split()[0]) if " " in text.strip() else len(text.strip()) for text in arrays)
        if moved:
            number, unit = predicted.split()
            seconds = float(number) * {"ms": 1e-3, "µs": 1e-6}[unit]
            assert seconds == pytest.approx(4 * moved * 2**26 / 2039e9, rel=0.02)


def test_it_lists_the_planted_bugs() -> None:
    listed = re.findall(r"^\| ([\w ]+) \| (?:shared|an index|a cell|memory|a wrong)", PAGE, re.MULTILINE)
    assert listed == [bug.name for bug in BUGS]


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"One block is {grid.BLOCK} threads" in PAGE
    assert f"At most {grid.MOST_BLOCKS:,} blocks are launched" in PAGE
    assert [team.team_width(classes, 1) for classes in (32, 33, 128, 129)] == [32, 32, 32, 128]
    assert "part of a warp for up to 32 classes" in PAGE
    assert "a warp for up to 128; the block for more" in PAGE
