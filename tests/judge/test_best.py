"""Over the best: what is exact, rounded once, reads at most 1; what loses more reads as much more."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.contract.dtypes import TYPES
from conformance.judge.best import over_best
from conformance.judge.tolerance import rounding_of
from refimpl.running_error import Approx

VALUES = np.random.default_rng(3).normal(size=400)


def wanted(name: str, values: np.ndarray = VALUES) -> Approx:  # type: ignore[type-arg]
    return Approx.zeros(values.size, rounding_of(name)).replaced(values, np.zeros(values.size))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float16 (computed float32)"])
def test_the_exact_result_rounded_once_is_the_best(name: str) -> None:
    held = TYPES[name.split()[0]]
    best, want = held.rounded(VALUES), wanted(name)
    assert 0.5 < (over_best(best, want) or 0.0) <= 1
    assert over_best(VALUES + 10 * (best - VALUES), want) == pytest.approx(10 * (over_best(best, want) or 0.0))


def test_a_result_that_happens_to_be_exact_divides_by_nothing_small() -> None:
    want = wanted("bfloat16", np.array([0.5, 0.25]))
    assert over_best(np.array([0.5, 0.25]), want) == 0
    unit = TYPES["bfloat16"].unit_roundoff
    assert over_best(np.array([0.5, 0.25]) * (1 + 2 * unit), want) == pytest.approx(2 * 3**0.5)


def test_what_is_not_finite_and_what_is_zero_is_not_read() -> None:
    want = wanted("float16", np.array([np.nan, 1.0, 70000.0]))
    assert over_best(np.array([np.nan, 1.0, np.inf]), want) == 0
    assert over_best(np.zeros(2), wanted("float16", np.zeros(2))) is None


def test_caffes_own_types_have_no_reading() -> None:
    assert over_best(VALUES, wanted("float32")) is over_best(VALUES, wanted("float64")) is None
