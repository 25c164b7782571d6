"""The reference's sums: rounded once, and as IEEE has them where a term is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.arithmetic import exact_sum

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@pytest.mark.parametrize("terms", [1, 2, 3, 5])
def test_a_row_is_summed_exactly(terms: int) -> None:
    @given(st.lists(st.lists(finite, min_size=terms, max_size=terms), min_size=1, max_size=4))
    def property_of(rows: list[list[float]]) -> None:
        sums = exact_sum(np.array(rows), 1)
        for row, total in zip(rows, sums, strict=True):
            try:
                assert total == math.fsum(row)
            except OverflowError:
                assert np.isinf(total) or abs(total) > 1e308

    property_of()


@pytest.mark.parametrize("terms", [2, 3])
def test_terms_that_are_not_finite_follow_ieee(terms: int) -> None:
    zeros = [0.0] * (terms - 2)
    rows = np.array([[np.inf, 1.0], [-np.inf, 1.0], [np.inf, -np.inf], [np.nan, 1.0], [1e308, 1e308]])
    sums = exact_sum(np.hstack([rows, np.tile(zeros, (5, 1))]), 1)
    np.testing.assert_array_equal(sums, [np.inf, -np.inf, np.nan, np.nan, np.inf])


def test_float32_terms_are_summed_in_float64() -> None:
    assert exact_sum(np.array([[1.0, 2.0**-30]], dtype=np.float32), 1) == 1 + 2.0**-30
