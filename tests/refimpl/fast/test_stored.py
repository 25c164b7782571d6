"""Elements of half types as numbers and back, and the losses that read and write them."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from refimpl import Net, fast
from refimpl.dtypes import DEFAULT, HALF, TYPES, Dtype
from refimpl.fast.layers import LAYERS
from refimpl.fast.scalar import FLAGS
from refimpl.fast.stored import BITS, as_bits, as_numbers, number, stored
from tests import fast_formulas as formulas

Array = NDArray[Any]
NARROW = [dtype for name, dtype in TYPES.items() if name not in DEFAULT]
EVERY = np.arange(1 << 16, dtype=np.uint16)

each_type = pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)


@njit(**FLAGS)  # type: ignore[untyped-decorator]
def widen(elements: Array, numbers: Array) -> None:
    for i in range(elements.size):
        numbers[i] = number(elements[i])


@njit(**FLAGS)  # type: ignore[untyped-decorator]
def narrow(numbers: Array, elements: Array) -> None:
    for i in range(numbers.size):
        elements[i] = stored(numbers[i], elements.dtype)


def rounded(numbers: Array, dtype: Dtype) -> Array:
    elements = np.empty(numbers.size, BITS[dtype.numpy])
    narrow(numbers, elements)
    return elements.view(dtype.numpy)


def same(got: Array, want: Array) -> bool:
    """To the bit, but for what a NaN carries."""
    nan = np.isnan(want.astype(np.float32))
    equal = got.view(np.uint16) == want.view(np.uint16)
    return bool(np.where(nan, np.isnan(got.astype(np.float32)), equal).all())


@each_type
def test_every_element_is_its_number_and_comes_back(dtype: Dtype) -> None:
    elements = EVERY.view(dtype.numpy)
    numbers = np.empty(EVERY.size, np.float32)
    widen(as_bits(elements), numbers)
    want = elements.astype(np.float32)
    nan = np.isnan(want)
    assert nan.sum() == 2 * ((1 << dtype.significand - 1) - 1)
    assert (numbers.view(np.uint32) == want.view(np.uint32))[~nan].all() and np.isnan(numbers[nan]).all()
    assert (np.signbit(numbers) == np.signbit(want)).all()
    with np.errstate(invalid="ignore"):
        for wide in (numbers, numbers.astype(np.float64)):
            assert same(rounded(wide, dtype), elements)


@each_type
@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_numbers_around_every_tie_and_limit_are_rounded_once(dtype: Dtype, wide: Any) -> None:
    """Beside every tie there is the next number, which rounds the other way: where float64 is rounded to float32 first,
    it becomes the tie."""
    with np.errstate(all="ignore"):
        elements = EVERY.view(dtype.numpy)
        finite = np.unique(elements[np.isfinite(elements)].astype(np.float64))
        ties = finite + np.diff(finite, append=2 * dtype.largest - finite[-2]) / 2
        ties = ties[np.absolute(ties) < np.finfo(wide).max].astype(wide)
        near = np.concatenate([ties, np.nextafter(ties, wide(np.inf)), np.nextafter(ties, wide(-np.inf))])
        hard = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(wide).max, np.finfo(wide).smallest_subnormal])
        hard = np.concatenate([near, hard.astype(wide), -hard.astype(wide)])
        want = dtype.rounded(hard).astype(dtype.numpy)
    assert np.isinf(want.astype(np.float32)).any()
    assert same(rounded(hard, dtype), want)


@each_type
@given(st.lists(st.floats(width=64), min_size=1), st.lists(st.floats(width=32), min_size=1))
@settings(deadline=None)
def test_any_number_is_rounded_to_the_nearest(dtype: Dtype, doubles: list[float], singles: list[float]) -> None:
    with np.errstate(all="ignore"):
        for numbers in (np.array(doubles), np.array(singles, np.float32)):
            assert same(rounded(numbers, dtype), dtype.rounded(numbers).astype(dtype.numpy))


@each_type
def test_python_converts_as_compiled_code_does(dtype: Dtype) -> None:
    """On the simulator of a GPU these functions run as they are."""
    elements = as_bits(EVERY[::97].view(dtype.numpy).copy())
    with np.errstate(all="ignore"):
        numbers = np.array([number(each) for each in elements])
        assert numbers.dtype == np.float32 and np.array_equal(numbers, as_numbers(elements), equal_nan=True)
        between = numbers.astype(np.float64) * (1 + 2.0**-30)
        made = np.array([stored(each, elements.dtype) for each in between], elements.dtype)
        assert same(made.view(dtype.numpy), rounded(between, dtype))


def arrays(dtype: Dtype, shape: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Scores, other scores, shares and labels, all of the type."""
    rng = np.random.default_rng(5)
    x, y = ((rng.normal(size=shape) * 3).astype(dtype.numpy) for _ in "xy")
    labels = rng.integers(0, min(shape[1], 200), shape[0])
    return x, y, rng.random(shape).astype(dtype.numpy), labels.astype(dtype.numpy)


def wide(array: Array) -> Array:
    return array.astype(np.float64)


def classes(labels: Array) -> Array:
    return labels.astype(np.int64)


LOSSES: dict[str, Callable[..., tuple[float, list[Array], Any]]] = {
    "euclidean": lambda x, y, u, labels, a, b: (
        fast.euclidean_loss(x, y, out_a=a, out_b=b), [a, b], formulas.euclidean(wide(x), wide(y))),
    "hinge": lambda x, y, u, labels, a, b: (
        fast.hinge_loss(x, labels, norm="L2", out=a), [a], formulas.hinge(wide(x), classes(labels), "L2")),
    "contrastive": lambda x, y, u, labels, a, b: (
        fast.contrastive_loss(x, y, labels, margin=9.0, out_a=a, out_b=b), [a, b],
        formulas.contrastive(wide(x), wide(y), labels != 0, 9.0, False)),
    "multinomial": lambda x, y, u, labels, a, b: (
        fast.multinomial_logistic_loss(u, labels, out=a), [a], formulas.multinomial(wide(u), classes(labels))),
    "sigmoid": lambda x, y, u, labels, a, b: (
        fast.sigmoid_cross_entropy_loss(x, u, out=a), [a],
        formulas.sigmoid_cross_entropy(wide(x), wide(u), None, "BATCH_SIZE")),
    "infogain": lambda x, y, u, labels, a, b: (
        fast.infogain_loss(x, labels, MATRIX.astype(x.dtype), out=a), [a],
        formulas.infogain(wide(x), classes(labels), wide(MATRIX.astype(x.dtype)), 1, None, "VALID")),
    "l1": lambda x, y, u, labels, a, b: (
        fast.l1_loss(x, y, out_a=a, out_b=b), [a, b], formulas.l1(wide(x), wide(y))),
}  # fmt: skip

MATRIX = np.random.default_rng(6).random((10, 10))


@pytest.mark.parametrize(("loss", "dtype"), [*zip(LOSSES.values(), itertools.cycle(NARROW))], ids=LOSSES)
def test_small_problems_are_computed_in_float64_and_rounded_once(loss: Any, dtype: Dtype) -> None:
    x, y, u, labels = arrays(dtype, (64, 10))
    a, b = np.full_like(x, np.nan), np.full_like(x, np.nan)
    value, gradients, (want, exact, *_) = loss(x, y, u, labels, a, b)
    assert value == pytest.approx(want, rel=1e-12)
    for gradient, right in zip(gradients, (exact, -exact), strict=False):
        assert as_good(gradient, right, dtype, slack=1e-9)


def as_good(gradient: Array, right: Array, dtype: Dtype, slack: float) -> bool:
    """Whether an array is the nearest of its type, or next to a tie the other of the two that are nearest, give or take
    what was lost before the rounding."""
    best = np.absolute(dtype.rounded(right) - right)
    return bool((np.absolute(wide(gradient) - right) <= best + slack * np.absolute(right)).all())


@pytest.mark.parametrize(("dtype", "kept"), [*zip(NARROW, [False, True], strict=True)])
def test_rows_of_many_classes_keep_their_exponentials_in_float32(dtype: Dtype, kept: bool) -> None:
    x, _, _, labels = arrays(dtype, (70, 900))
    out, prob = np.full_like(x, np.nan), np.full(x.shape, np.nan, np.float32) if kept else None
    value = fast.softmax_with_loss(x, labels, out=out, prob=prob, ignore_label=3)
    want, exact, softmax = formulas.softmax(wide(x), classes(labels), 1, 3, "VALID")
    assert value == pytest.approx(want, rel=1e-7)
    assert as_good(out, exact, dtype, slack=1e-5)
    if prob is not None:
        np.testing.assert_allclose(prob, softmax, rtol=2e-6)
        backward(prob, labels, ignore_label=3, top_diff=1.0, out=out)
        assert as_good(out, exact, dtype, slack=1e-5)


def backward(*arrays: Array, **options: Any) -> None:
    importlib.import_module("refimpl.fast.cpu.softmax_with_loss").backward(*arrays, **options)


def test_a_softmax_of_a_half_type_is_refused() -> None:
    """Its entries next to 1 have lost what the gradient is made of."""
    x, _, u, labels = arrays(HALF, (6, 4))
    with pytest.raises(TypeError, match="prob has dtype float16: the softmax of a half type is kept in float32"):
        backward(u, labels, top_diff=1.0, out=x)
    with pytest.raises(ValueError, match=r"prob is float16 of shape \(6, 4\): it should be float32 of shape"):
        fast.softmax_with_loss(x, labels, prob=u)


def test_integers_are_no_bits_of_a_half_type() -> None:
    dtype = NARROW[-1]
    x, _, _, labels = arrays(dtype, (64, 10))
    bits = BITS[dtype.numpy]
    for of in (x, x.astype(np.float32)):  # the one kernel takes bits as labels, for the other they are brought to int64
        want = fast.hinge_loss(of, labels, norm="L2")
        assert fast.hinge_loss(of, labels.astype(np.float32).astype(bits), norm="L2") == want
    with pytest.raises(TypeError, match=f"x has dtype {bits}: give float16"):
        fast.hinge_loss(x.view(bits), labels)
    with pytest.raises(TypeError, match=f"b has dtype float32: give it the dtype of the first input, {dtype.name}"):
        fast.euclidean_loss(x, x.astype(np.float32))


NET = """
layer {{ name: "in" type: "Input" top: "a" top: "b"
  input_param {{ shape {{ dim: 4 dim: 3 }} shape {{ dim: {dims} }} }} }}
layer {{ name: "loss" type: "{kind}" bottom: "a" bottom: "b" top: "loss" {tops} }}
"""


def test_two_diffs_of_a_softmax_are_added_up_before_they_are_stored() -> None:
    dtype = HALF
    rng = np.random.default_rng(3)
    text = NET.format(dims="4", kind="SoftmaxWithLoss", tops='top: "prob" loss_weight: 1 loss_weight: 1')
    gradients = []
    x, labels, diff = rng.normal(size=(4, 3)) * 4, [0, 2, 1, 1], rng.normal(size=(4, 3))
    for storage, layers in ((dtype.name, LAYERS), ("float64", {})):
        net = Net(f"force_backward: true {text}", dtype=storage, layers=layers)
        net.blobs["a"].data[...] = dtype.rounded(x)
        net.blobs["b"].data[...] = labels
        net.forward()
        net.blobs["prob"].diff[...] = dtype.rounded(diff)
        net.backward()
        gradients.append(net.blobs["a"].diff.astype(np.float64))
    assert as_good(gradients[0], gradients[1], dtype, slack=1e-6)


def test_a_weight_of_0_forgets_infinities() -> None:
    """As Caffe's BLAS does."""
    net = Net("force_backward: true " + NET.format(dims="4 dim: 3", kind="EuclideanLoss", tops=""), layers=LAYERS)
    net.blobs["a"].data[...] = np.inf
    net.forward()
    net.blobs["loss"].diff[...] = 0
    net.backward()
    assert not net.blobs["a"].diff.any() and not net.blobs["b"].diff.any()
