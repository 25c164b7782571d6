"""In types of few digits the bound holds as it stands: whatever a plain evaluation gives in them lies within it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.judge.tolerance import rounding_of
from refimpl.arithmetic import exact_sum, like, rounded, sigmoid
from refimpl.dtypes import TYPES, TypeClaim
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.running_error import Approx

narrow = pytest.mark.parametrize("name", ["float16", "bfloat16"])

Formula = Callable[[Any], Any]


def added_up(x: Any, axis: int | None = None) -> Any:
    """A sum as a loop has it, each partial sum rounded to the type of the terms."""
    if isinstance(x, Approx):
        return exact_sum(x, axis)
    terms = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    total = np.zeros(terms.shape[1:], x.dtype)
    for term in terms:
        total = (total + term).astype(x.dtype)
    return total


def plain_softmax(x: Any) -> Any:
    powers = np.exp(x - np.max(x, -1, keepdims=True))
    return powers / np.expand_dims(added_up(powers, -1), -1)


FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "squares": (lambda x: added_up(x * x) / 2.0, lambda x: added_up(x * x) / x.dtype.type(2)),
    "cancelling": (lambda x: (x + 3.0) - 3.0, lambda x: (x + x.dtype.type(3)) - x.dtype.type(3)),
    "a constant that is not held": (lambda x: 0.3 - x, lambda x: x.dtype.type(0.3) - x),
    "a constant of ours": (lambda x: rounded(1e-4, x) + x, lambda x: x.dtype.type(1e-4) + x),
    "a logarithm": (lambda x: np.log(x * x + 0.5), lambda x: np.log(x * x + x.dtype.type(0.5))),
    "a root": (lambda x: np.sqrt(x * x + 0.1), lambda x: np.sqrt(x * x + x.dtype.type(0.1))),
    "hyperbolic": (lambda x: np.tanh(0.3 * x), lambda x: np.tanh(x.dtype.type(0.3) * x)),
    "sigmoid": (sigmoid, lambda x: x.dtype.type(1) / (x.dtype.type(1) + np.exp(-x))),
    "softmax": (lambda x: softmax(x, 1), plain_softmax),
    "log of softmax": (lambda x: log_softmax(x, 1), lambda x: np.log(plain_softmax(x))),
    "log of an option": (lambda x: np.log(like(x, 2.7)) * x, lambda x: np.log(x.dtype.type(2.7)) * x),
}


@narrow
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_plain_evaluation_lies_within_the_bound(formula: str, name: str) -> None:
    bounded, plain = FORMULAS[formula]
    held, rng = TYPES[name].numpy, np.random.default_rng(1)
    for size in (0.01, 1.0, 8.0):
        x = (rng.normal(size=(12, 2, 4)) * size).astype(held)
        for row in x:
            exact = row.astype(np.float64)
            want = bounded(Approx(exact, np.zeros(exact.shape), rounding_of(name)))
            with np.errstate(all="ignore"):
                got = np.asarray(plain(row))
            assert got.dtype == held
            near = np.absolute(got.astype(np.float64) - want.value) <= want.error
            assert (near | (want.error == np.inf)).all()


@pytest.mark.parametrize("name, most", [("bfloat16", 16), ("float16", 128), ("float32", 1 << 20)])
def test_a_sum_is_owed_while_its_roundings_are_a_sixteenth(name: str, most: int) -> None:
    for terms, finite in ((most, True), (most + 1, False)):
        assert np.isfinite(rounding_of(name).of_sum(terms, np.array(float(terms)))) == finite


def test_what_is_added_up_wider_is_owed_beyond() -> None:
    ones = np.ones(1000)
    wide = exact_sum(Approx(ones, 0 * ones, rounding_of("float16 (accumulated float32)")))
    unit = TYPES["float16"].unit_roundoff
    assert 1000 * unit < wide.error < 1000 * (2 * unit + 1e-4)  # rounded once, from what float32 makes of it


def test_what_is_stored_is_rounded_once_more() -> None:
    rounding = rounding_of("float16, loss float32 (computed float32)")
    held = Approx.zeros(3, rounding, stored=TYPES["float16"])
    held[...] = Approx(np.array([1.0, 1e-6, 1.0]), np.array([2.0**-24, 0.0, 0.0]), rounding)
    unit, last = 2.0**-11, 2.0**-24
    assert held.error.tolist() == [2.0**-24 + unit * (1 + 2.0**-24) + last / 2, unit * 1e-6 + last / 2, 0.0]
    assert held[1:].stored is held.reshape(1, 3).stored is TYPES["float16"]
    assert (held * 2.0).stored is None


def test_in_one_type_only_what_is_not_held_is_rounded() -> None:
    rounding = rounding_of("bfloat16")
    held = Approx.zeros(2, rounding, stored=TYPES["bfloat16"])
    held[...] = np.array([0.5, 0.3])
    assert held.error[0] == 0 < held.error[1]
    held[...] = Approx(np.array([0.3, 0.3]), np.array([0.1, 0.2]), rounding)
    assert held.error.tolist() == [0.1, 0.2]


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_caffes_types_are_stored_as_they_are_computed(name: str) -> None:
    rounding = rounding_of(name)
    assert rounding.claim is rounding.narrow is rounding.added is None
    assert TypeClaim.named(name).is_of_one_type


def test_half_owes_gradual_underflow_and_float_does_not() -> None:
    rooms = {name: rounding_of(name).of(np.array(TYPES[name].smallest_normal)) for name in ("float16", "float32")}
    assert rooms["float32"] == TYPES["float32"].smallest_normal
    assert rooms["float16"] == pytest.approx(2.0**-24, rel=1e-9)


@narrow
def test_a_sum_of_few_digits_is_charged_its_roundings_of_roundings(name: str) -> None:
    """n u alone is short of what n roundings upwards come to, (1 + u)^n - 1."""
    rounding, terms, unit = rounding_of(name), 8, TYPES[name].unit_roundoff
    assert rounding.of_sum(terms, np.ones(1)) >= (1 + unit) ** terms - 1 > terms * unit
