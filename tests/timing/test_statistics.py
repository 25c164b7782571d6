"""Medians, pairs and intervals of times."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.timing.rounds import order_of
from conformance.timing.statistics import median_interval, pair_ratios, summary

times = st.floats(1e-9, 1e3)


@given(st.lists(times, min_size=1, max_size=30))
def test_a_summary_has_numpys_quartiles(values: list[float]) -> None:
    found = summary(values)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    assert (found.low, found.median, found.high) == pytest.approx((low, middle, high))
    assert found.least == min(values)
    assert found.count == len(values)


def test_a_spread_is_relative_to_the_median() -> None:
    assert summary([1.0, 2.0, 3.0]).spread == 0.5
    assert summary([2.0]).spread == 0.0


def test_nothing_has_no_summary() -> None:
    with pytest.raises(ValueError, match="no values"):
        summary([])


def test_rounds_are_paired_and_unfinished_ones_left_out() -> None:
    assert pair_ratios([1.0, 2.0, 4.0], [3.0, 1.0]) == [3.0, 0.5]


@given(st.lists(times, min_size=1, max_size=60))
def test_an_interval_holds_the_median_of_the_sample(values: list[float]) -> None:
    low, high = median_interval(values, 0.05)
    assert low <= median(values) <= high


@pytest.mark.parametrize(("count", "doubt"), [(9, 0.001), (4, 0.05), (1, 0.5)])
def test_too_few_values_say_nothing(count: int, doubt: float) -> None:
    assert median_interval([1.0] * count, doubt) == (-math.inf, math.inf)


def test_an_interval_is_made_of_the_order_statistics_of_the_sign_test() -> None:
    """P(at most 1 of 15 below the median) is 16 / 2^15, and twice that is below 0.001; with 2 of 15 it is not."""
    assert median_interval(list(range(15)), 0.001) == (1, 13)
    assert median_interval(list(range(15)), 0.0001) == (0, 14)


def test_an_interval_misses_no_more_often_than_it_may() -> None:
    rng = np.random.default_rng(5)
    samples = rng.lognormal(0.0, 1.0, size=(4000, 21))
    missed = sum(not low <= 1.0 <= high for low, high in (median_interval(list(row), 0.05) for row in samples))
    assert 0 < missed / len(samples) < 0.05


@given(st.integers(1, 6), st.integers(0, 50))
def test_every_round_has_everybody_once(count: int, turn: int) -> None:
    assert sorted(order_of(count, turn)) == list(range(count))


def test_nobody_is_always_first() -> None:
    for count in range(2, 6):
        firsts = [order_of(count, turn)[0] for turn in range(2 * count)]
        assert {firsts.count(index) for index in range(count)} == {2}


def test_two_versions_change_places() -> None:
    assert [order_of(2, turn) for turn in range(4)] == [[0, 1], [1, 0], [1, 0], [0, 1]]
