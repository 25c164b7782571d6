"""``docs/cuda.md`` says what is so, and what is predicted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.timing import prediction
from conformance.timing.sizes import SIZES
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


def test_its_predictions_are_those_of_the_program() -> None:
    assert list(prediction.KERNELS) == [kernel.name for kernel in kernels()]
    for part in prediction.markdown().split("\n\n"):
        assert part in PAGE


def test_a_prediction_is_bytes_over_bandwidth_unless_float64_takes_longer() -> None:
    t4, a100, _ = prediction.GPUS
    hinge = prediction.KERNELS["hinge_loss.sum_losses"]
    huge = SIZES["huge"]
    read = 4 * 2**26 + 4 * 65536
    assert prediction.seconds(hinge, huge, a100) == pytest.approx(read / 2039e9)
    assert prediction.seconds(hinge, huge, t4) == pytest.approx(2 * 2**26 / (40 * 2 * 1.59e9))


def test_it_lists_the_planted_bugs() -> None:
    listed = re.findall(r"^\| ([\w ]+) \| (?:shared|an index|a cell|memory|a wrong)", PAGE, re.MULTILINE)
    assert listed == [bug.name for bug in BUGS]


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"One block is {grid.BLOCK} threads" in PAGE
    assert f"At most {grid.MOST_BLOCKS:,} blocks are launched" in PAGE
    assert [team.team_width(classes, 1) for classes in (32, 33, 128, 129)] == [32, 32, 32, 128]
    assert "part of a warp for up to 32 classes" in PAGE
    assert "a warp for up to 128; the block for more" in PAGE
