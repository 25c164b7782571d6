"""The bounded judge: which numbers are right, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.judge.bounded import measure
from conformance.judge.tolerance import rounding_of
from refimpl.running_error import Approx

FLOAT32 = rounding_of("float32")
LARGEST = float(np.finfo(np.float32).max)


def want(value: Any, error: Any = 0.0) -> Approx:
    value = np.asarray(value, dtype=np.float64)
    return Approx(value, np.broadcast_to(np.asarray(error, dtype=np.float64), value.shape), FLOAT32)


def room(got: float, value: float, error: float = 0.0) -> float:
    return measure(np.array([got]), [want([value], error)], "float32").headroom


def test_what_is_equal_has_all_the_room_there_is() -> None:
    measured = measure(np.array([1.0, -2.0]), [want([1.0, -2.0])], "float32")
    assert measured.accepted
    assert measured.headroom == np.inf
    assert measured.rejected == 0


def test_headroom_is_the_bound_over_the_error() -> None:
    assert room(1.5, 1.0, 2.0) == 4.0
    assert room(3.0, 1.0, 2.0) == 1.0
    assert room(5.0, 1.0, 2.0) == 0.5


def test_one_times_the_bound_is_accepted_and_more_is_not() -> None:
    assert measure(np.array([1.25]), [want([1.0], 0.25)], "float32").accepted
    assert not measure(np.array([np.nextafter(1.25, 2)]), [want([1.0], 0.25)], "float32").accepted


def test_the_worst_element_is_the_one_that_is_told() -> None:
    got = np.array([[1.0, 2.0, 3.5], [4.25, 5.0, 6.0]], dtype=np.float32)
    measured = measure(got, [want([[1, 2, 3], [4, 5, 6]], 0.125)], "float32")
    assert (measured.accepted, measured.index, measured.rejected, measured.size) == (False, (0, 2), 2, 6)
    assert (measured.got, measured.want, measured.bound) == (3.5, 3.0, 0.125)


@pytest.mark.parametrize(
    ("got", "value"),
    [(np.nan, np.nan), (np.inf, np.inf), (-np.inf, -np.inf), (-0.0, 0.0), (0.0, -0.0)],
)
def test_special_values_are_right_where_they_are_wanted(got: float, value: float) -> None:
    assert room(got, value) == np.inf


@pytest.mark.parametrize(
    ("got", "value"),
    [
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.inf, 1.0),
        (1.0, np.inf),
        (np.inf, -np.inf),
        (np.nan, np.inf),
        (np.inf, np.nan),
        (LARGEST, np.inf),
    ],
)
def test_special_values_are_wrong_elsewhere_whatever_the_bound(got: float, value: float) -> None:
    assert room(got, value, error=1e30) == 0.0


def test_an_infinity_is_right_where_the_bound_reaches_past_the_largest_number() -> None:
    assert room(np.inf, LARGEST, 1e32) == np.inf
    assert room(-np.inf, -LARGEST, 1e32) == np.inf
    assert room(-np.inf, LARGEST, 1e32) == 0.0
    assert room(np.inf, LARGEST / 2, 1e32) == 0.0


def test_each_element_may_follow_any_of_the_right_answers() -> None:
    answers = [want([0.0, 0.0]), want([1.0, 1.0])]
    assert measure(np.array([0.0, 1.0]), answers, "float32").accepted
    assert not measure(np.array([0.0, 0.5]), answers, "float32").accepted


def test_an_array_of_another_shape_is_compared_in_row_major_order() -> None:
    measured = measure(np.array([[1.0], [2.0]]), [want([1.0, 3.0])], "float32")
    assert (measured.accepted, measured.index) == (False, (1,))


def test_a_scalar_has_an_empty_index() -> None:
    assert measure(np.array(2.0), [want(1.0)], "float32").index == ()


def test_an_empty_array_is_right() -> None:
    assert measure(np.zeros((0, 3)), [want(np.zeros((0, 3)))], "float64").accepted


@given(
    st.floats(-1e30, 1e30, allow_subnormal=False),
    st.floats(0, 1e20),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_accepted_means_within_the_bound_or_the_same(value: float, bound: float, got: float) -> None:
    accepted = measure(np.array([got]), [want([value], bound)], "float64").accepted
    assert accepted == (got == value or abs(got - value) <= bound)


def test_a_tanh_of_the_c_library_is_within_its_bound_and_six_times_its_error_is_not() -> None:
    """What glibc's tanhf gave a real Caffe, 1.6 ULP from the exact value."""
    x, got = float(np.float32(np.arctanh(0.7615937804691875))), 0.7615938782691956
    bound = np.tanh(Approx(np.array([x]), np.zeros(1), FLOAT32))
    error = got - float(np.tanh(x))
    assert error == pytest.approx(1.64 * 2.0**-24, rel=0.01)
    assert measure(np.array([got]), [bound], "float32").accepted
    assert not measure(np.array([float(np.tanh(x)) + 6 * error]), [bound], "float32").accepted
