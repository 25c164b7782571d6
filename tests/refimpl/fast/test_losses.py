"""The plain functions of `refimpl.fast` compute the losses and gradients of the definitions, for every parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refimpl import fast
from refimpl.fast.cpu import infogain_loss as infogain_module
from refimpl.fast.cpu import softmax_with_loss as softmax_module
from tests import fast_formulas as formulas

Array = NDArray[Any]
UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}
MODES = st.sampled_from(["VALID", "FULL", "BATCH_SIZE", "NONE"])
DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)
WEIGHTS = st.sampled_from([1.0, 0.5, -2.0, 0.30000001192092896])

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile outside of any test's deadline what all of them use."""
    for dtype in (np.float32, np.float64):
        x, y = np.zeros((2, 3), dtype), np.zeros(2, dtype)
        for out in (None, np.empty_like(x)):
            fast.softmax_with_loss(x, y, out=out)
            fast.sigmoid_cross_entropy_loss(x, x, out=out)


def rounded_once(got: Array, exact: Array, size: Array | float = 0.0) -> bool:
    """Whether float32 results are float64 ones rounded (`size`: the terms that cancelled), or float64 ones right to a
    few units."""
    unit = UNIT[got.dtype.type]
    allowed = unit * (1 if unit > 1e-10 else 16) * np.abs(exact) + 64 * UNIT[np.float64] * (np.abs(exact) + size)
    return bool((np.abs(got - exact) <= allowed).all())


@st.composite
def logits(draw: Any, most: int = 6) -> tuple[Array, Array, int, int | None]:
    """Logits, labels, axis, and the label to ignore."""
    shape = draw(st.lists(st.integers(1, most), min_size=2, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    rng = np.random.default_rng(draw(SEEDS))
    x = (rng.normal(size=shape) * draw(st.sampled_from([1, 10]))).astype(draw(DTYPES))
    ignore = draw(st.sampled_from([None, 0, 255, -1]))
    labels = rng.integers(0, shape[axis], [*shape[:axis], *shape[axis + 1 :]])
    if ignore is not None:
        labels = np.where(rng.random(labels.shape) < 0.3, ignore, labels)
    return x, labels, axis - draw(st.sampled_from([0, len(shape)])), ignore


@given(logits(), MODES, WEIGHTS, st.booleans(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_softmax_with_loss(case: Any, mode: str, weight: float, gradient: bool, softmax: bool) -> None:
    x, labels, axis, ignore = case
    out, prob = (np.full_like(x, np.nan) if wanted else None for wanted in (gradient, softmax))
    options = {"axis": axis, "ignore_label": ignore, "normalization": mode}
    loss = fast.softmax_with_loss(x, labels.astype(x.dtype), **options, top_diff=weight, out=out, prob=prob)
    want, exact, p = formulas.softmax(x, labels, axis, ignore, mode)
    assert loss == pytest.approx(want, rel=1e-13, abs=1e-13)
    assert out is None or rounded_once(out, weight * exact, np.abs(weight))
    assert prob is None or rounded_once(prob, p, 1)
    if prob is not None:
        softmax_module.backward(prob, labels.astype(x.dtype), **options, top_diff=weight, out=prob)
        np.testing.assert_allclose(prob, weight * exact, rtol=0, atol=4 * UNIT[x.dtype.type] * abs(weight))


@given(logits(), MODES, WEIGHTS, st.booleans(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_infogain_loss(case: Any, mode: str, weight: float, gradient: bool, softmax: bool) -> None:
    x, labels, axis, ignore = case
    matrix = np.random.default_rng(labels.size).normal(size=(x.shape[axis],) * 2).astype(x.dtype)
    out, prob = (np.full_like(x, np.nan) if wanted else None for wanted in (gradient, softmax))
    options = {"axis": axis, "ignore_label": ignore, "normalization": mode}
    loss = fast.infogain_loss(x, labels.astype(x.dtype), matrix, **options, top_diff=weight, out=out, prob=prob)
    want, exact, p = formulas.infogain(x, labels, matrix, axis, ignore, mode)
    size = 6 * float(np.abs(matrix).max())
    assert loss == pytest.approx(want, rel=1e-12, abs=1e-12 * size * labels.size)
    assert out is None or rounded_once(out, weight * exact, size)
    assert prob is None or rounded_once(prob, p, 1)
    if prob is not None:
        infogain_module.backward(prob, labels.astype(x.dtype), matrix, **options, top_diff=weight, out=prob)
        np.testing.assert_allclose(prob, weight * exact, rtol=0, atol=8 * UNIT[x.dtype.type] * size)


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    DTYPES,
    SEEDS,
    MODES,
    st.sampled_from([None, 0, 1, -1]),
    WEIGHTS,
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_sigmoid_cross_entropy_loss(
    shape: list[int], dtype: Any, seed: int, mode: str, ignore: int | None, weight: float, gradient: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 10).astype(dtype)
    t = rng.choice([0, 1, 0.25, 2, -1, -1.5, 1.75], size=shape).astype(dtype)
    out = np.full_like(x, np.nan) if gradient else None
    loss = fast.sigmoid_cross_entropy_loss(x, t, ignore_label=ignore, normalization=mode, top_diff=weight, out=out)
    want, exact = formulas.sigmoid_cross_entropy(x, t, ignore, mode)
    assert loss == pytest.approx(want, rel=1e-13, abs=1e-12 * x.size)
    assert out is None or rounded_once(out, weight * exact, 3 * np.abs(weight))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), DTYPES, SEEDS, WEIGHTS, st.booleans(), st.booleans())
@settings(deadline=None, max_examples=100)
def test_euclidean_loss(shape: list[int], dtype: Any, seed: int, weight: float, for_a: bool, for_b: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype(dtype) for _ in "ab")
    out_a, out_b = (np.full_like(a, np.nan) if wanted else None for wanted in (for_a, for_b))
    loss = fast.euclidean_loss(a, b, top_diff=weight, out_a=out_a, out_b=out_b)
    want, exact = formulas.euclidean(a, b)
    assert loss == pytest.approx(want, rel=1e-14)
    assert out_a is None or rounded_once(out_a, weight * exact)
    assert out_b is None or rounded_once(out_b, -weight * exact)


@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=4),
    DTYPES,
    SEEDS,
    WEIGHTS,
    st.sampled_from(["L1", "L2"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_hinge_loss(shape: list[int], dtype: Any, seed: int, weight: float, norm: str, gradient: bool) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 2).astype(dtype)
    labels = rng.integers(0, int(np.prod(shape[1:])), shape[0] + int(rng.integers(0, 3)))
    out = np.full_like(x, np.nan) if gradient else None
    loss = fast.hinge_loss(x, labels.astype(dtype), norm=norm, top_diff=weight, out=out)
    want, exact = formulas.hinge(x, labels, norm)
    assert loss == pytest.approx(want, rel=1e-14, abs=1e-15)
    assert out is None or rounded_once(out, weight * exact)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=4), DTYPES, SEEDS, WEIGHTS, st.booleans())
@settings(deadline=None, max_examples=100)
def test_multinomial_logistic_loss(shape: list[int], dtype: Any, seed: int, weight: float, gradient: bool) -> None:
    rng = np.random.default_rng(seed)
    p = rng.choice([0.0, 1e-21, 0.5, 1.0, 0.001, 2.0], size=shape).astype(dtype) * dtype(rng.random())
    labels = rng.integers(0, int(np.prod(shape[1:])), shape[0])
    out = np.full_like(p, np.nan) if gradient else None
    loss = fast.multinomial_logistic_loss(p, labels.astype(dtype), top_diff=weight, out=out)
    want, exact = formulas.multinomial(p, labels)
    assert loss == pytest.approx(want, rel=1e-14, abs=1e-15)
    assert out is None or rounded_once(out, weight * exact)


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    DTYPES,
    SEEDS,
    WEIGHTS,
    st.sampled_from([-1.0, 0.0, 1.0, 3.0]),
    *[st.booleans()] * 3,
)
@settings(deadline=None, max_examples=100)
def test_contrastive_loss(
    shape: list[int], dtype: Any, seed: int, weight: float, margin: float, legacy: bool, for_a: bool, for_b: bool
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype(dtype) for _ in "ab")
    similar = rng.choice([0, 1, 0.5, -0.75, 2, -1], size=shape[0])
    out_a, out_b = (np.full_like(a, np.nan) if wanted else None for wanted in (for_a, for_b))
    options = {"margin": margin, "legacy_version": legacy, "top_diff": weight}
    loss = fast.contrastive_loss(a, b, similar.astype(dtype), **options, out_a=out_a, out_b=out_b)
    want, exact = formulas.contrastive(a, b, np.trunc(similar) != 0, margin, legacy)
    assert loss == pytest.approx(want, rel=1e-13, abs=1e-15)
    size = np.abs(exact).max() + np.abs(a - b).max()
    assert out_a is None or rounded_once(out_a, weight * exact, size)
    assert out_b is None or rounded_once(out_b, -weight * exact, size)


LARGE = [
    ((300, 1000), 1),
    ((3000, 30), 1),
    ((5, 21, 40, 50), 1),
    ((2, 3, 5000), 2),
    ((70000, 2), 1),
    ((2, 4, 3, 900), -2),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "axis"), LARGE)
def test_softmax_of_large_inputs(shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    """Above the sizes that are evaluated in float64: a row's n terms allow n roundings, a few are made."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=shape) * 3).astype(dtype)
    labels = rng.integers(0, shape[axis], [n for i, n in enumerate(shape) if i != axis % len(shape)])
    labels[rng.random(labels.shape) < 0.1] = 255
    out, prob = np.full_like(x, np.nan), np.full_like(x, np.nan)
    options = {"axis": axis, "ignore_label": 255}
    loss = fast.softmax_with_loss(x, labels.astype(dtype), **options, out=out, prob=prob)
    want, exact, p = formulas.softmax(x, labels, axis, 255, "VALID")
    unit = UNIT[dtype]
    assert loss == pytest.approx(want, rel=16 * unit)
    counted = (labels != 255).sum()
    assert (np.abs(prob - p) <= 40 * unit * p + 1e-37).all()
    assert (np.abs(out - exact) * counted <= 40 * unit * p + 4 * unit * np.abs(exact) * counted + 1e-37).all()
    assert loss == fast.softmax_with_loss(x, labels.astype(dtype), **options)
    softmax_module.backward(prob, labels.astype(dtype), **options, top_diff=1.0, out=prob)
    assert (np.abs(prob - exact) * counted <= 44 * unit * p + 4 * unit * np.abs(exact) * counted + 1e-37).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "axis"), LARGE[:4])
def test_infogain_of_large_inputs(shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    x = (rng.normal(size=shape) * 3).astype(dtype)
    classes = shape[axis]
    labels = rng.integers(0, classes, [n for i, n in enumerate(shape) if i != axis])
    labels[rng.random(labels.shape) < 0.1] = 255
    matrix = rng.random((classes, classes)).astype(dtype)
    out, prob = np.full_like(x, np.nan), np.full_like(x, np.nan)
    options = {"axis": axis, "ignore_label": 255}
    loss = fast.infogain_loss(x, labels.astype(dtype), matrix, **options, out=out, prob=prob)
    want, exact, p = formulas.infogain(x, labels, matrix, axis, 255, "VALID")
    unit, counted = UNIT[dtype], (labels != 255).sum()
    assert loss == pytest.approx(want, rel=16 * unit)
    assert (np.abs(prob - p) <= 40 * unit * p + 1e-37).all()
    allowed = 40 * unit * (p * classes + 1)
    assert (np.abs(out - exact) * counted <= allowed).all()
    assert loss == fast.infogain_loss(x, labels.astype(dtype), matrix, **options)
    infogain_module.backward(prob, labels.astype(dtype), matrix, **options, top_diff=1.0, out=prob)
    assert (np.abs(prob - exact) * counted <= allowed).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_cross_entropy_of_large_inputs(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x, t = (rng.normal(size=(300, 501)) * 8).astype(dtype), rng.choice([0, 1, 0.3, 2], size=(300, 501)).astype(dtype)
    out, unit = np.full_like(x, np.nan), UNIT[dtype]
    loss = fast.sigmoid_cross_entropy_loss(x, t, ignore_label=2, normalization="VALID", out=out)
    want, exact = formulas.sigmoid_cross_entropy(x, t, 2, "VALID")
    assert loss == pytest.approx(want, rel=4 * unit)
    assert (np.abs(out - exact) * (t != 2).sum() <= 8 * unit).all()
    assert loss == fast.sigmoid_cross_entropy_loss(x, t, ignore_label=2, normalization="VALID")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(500, 300), (3, 70001), (140002, 1)])
def test_other_losses_of_large_inputs(shape: tuple[int, int], dtype: Any) -> None:
    rng = np.random.default_rng(4)
    a, b, p = (
        rng.normal(size=shape).astype(dtype),
        rng.normal(size=shape).astype(dtype),
        rng.random(shape).astype(dtype),
    )
    labels, similar = rng.integers(0, shape[1], shape[0]), rng.integers(0, 2, shape[0])
    out, out_b = np.full_like(a, np.nan), np.full_like(a, np.nan)
    assert fast.euclidean_loss(a, b, out_a=out, out_b=out_b) == pytest.approx(formulas.euclidean(a, b)[0], rel=1e-13)
    assert rounded_once(out, formulas.euclidean(a, b)[1]) and (out_b == -out).all()
    for norm in ("L1", "L2"):
        want, exact = formulas.hinge(a, labels, norm)
        assert fast.hinge_loss(a, labels.astype(dtype), norm=norm, out=out) == pytest.approx(want, rel=1e-13)
        assert rounded_once(out, exact)
    want, exact = formulas.multinomial(p, labels)
    assert fast.multinomial_logistic_loss(p, labels.astype(dtype), out=out) == pytest.approx(want, rel=1e-13)
    assert rounded_once(out, exact)
    want, exact = formulas.contrastive(a, b, similar != 0, 30.0, False)
    assert fast.contrastive_loss(a, b, similar.astype(dtype), margin=30.0, out_a=out, out_b=out_b) == pytest.approx(
        want, rel=1e-12
    )
    assert rounded_once(out, exact, np.abs(exact).max()) and (out_b == -out).all()


def test_a_float32_loss_is_right_to_its_last_bits_at_2_to_the_24_entries() -> None:
    """A float32 sum would stand still at 2^24: loss sums are kept in float64."""
    a = np.full((1, 2**24 + 4), 1.0, np.float32)
    assert fast.euclidean_loss(a, np.zeros_like(a)) == (2**24 + 4) / 2
