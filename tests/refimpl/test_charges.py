"""What elementary functions are charged: the table, its page, and bounds that the libraries of this machine stay in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance.judge.tolerance import rounding_of
from refimpl.charges import FUNCTIONS, STATED, charges_of, to_markdown
from refimpl.dtypes import DOUBLE, FLOAT, TYPES, Dtype
from refimpl.running_error import Approx

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"


def test_the_page_shows_the_table() -> None:
    assert to_markdown() in PAGE.read_text(encoding="utf-8")


def test_every_function_is_charged_the_most_that_is_stated() -> None:
    assert charges_of(FLOAT) == dict(zip(FUNCTIONS, (3, 3.83, 5.5, 3, 16), strict=True))
    for row in STATED:
        charged = charges_of(row.dtype)
        assert all(u is None or u <= charged[f] for f, u in zip(FUNCTIONS, row.ulps, strict=True)), row.library
        assert row.source


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE], ids=lambda kind: kind.name)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_numpy_stays_within_the_charge_and_the_bound_is_no_wider(function: np.ufunc, kind: Dtype) -> None:
    x = np.random.default_rng(3).uniform(0.25, 4, 20_000).astype(kind.numpy)
    more = (kind.numpy.type(1.5),) if function is np.power else ()
    exact = function(x.astype(np.longdouble), *more).astype(np.float64)
    bound = function(Approx(x.astype(np.float64), 0 * x, rounding_of(kind.name)), *more).error
    assert np.all(np.abs(function(x, *more).astype(np.float64) - exact) <= bound)
    ulps = bound / np.spacing(exact.astype(kind.numpy)).astype(np.float64)
    widest = 2 * max(1.0, charges_of(kind)[function]) * (2 if kind is DOUBLE else 1)  # the reference's roundings too
    assert charges_of(kind)[function] * 0.99 <= ulps.max() <= widest * 1.01


def test_the_exponential_of_zero_is_exact() -> None:
    x = Approx(np.array([0.0, -1.0]), np.zeros(2), rounding_of(FLOAT.name))
    assert (np.exp(x).error > 0).tolist() == [False, True]
    blurred = Approx(np.zeros(1), np.full(1, 1e-7), rounding_of(FLOAT.name))
    assert np.exp(blurred).error[0] > 2 * 3 * TYPES[FLOAT.name].unit_roundoff
