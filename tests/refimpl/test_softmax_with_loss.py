"""SoftmaxWithLoss: values, normalisation, axes, the cap on the loss, two tops, extremes and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.dialect import DEPARTURES, Dialect
from refimpl.errors import NetError
from refimpl.net import Net
from tests.small_nets import blob, layer, net_of, run

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
Y = np.array([2.0, 0.0])
LOSS = 0.5508590754231475
GRADIENT = [[0.045015287, 0.122364236, -0.167379522], [-0.250241135, 0.055728736, 0.1945124]]
CAP = 87.3365447505531
TEXT = layer("SoftmaxWithLoss", "", "x y", weight="")


def softmax_loss(body: str = "", tops: str = 'top: "t"') -> str:
    return f'layer {{ name: "n" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" {tops} {body} }}'


def loss_of(inputs: dict[str, Any], body: str = "") -> float:
    return float(net_of(softmax_loss(body), inputs).forward())


def test_loss_and_gradient() -> None:
    net = run(TEXT, {"x": X, "y": Y})
    assert net.blobs["t"].data == pytest.approx(LOSS, rel=1e-15)
    np.testing.assert_allclose(net.blobs["x"].diff, GRADIENT, atol=1e-9)
    assert net.met.touched == frozenset()


@pytest.mark.parametrize(
    ("option", "divisor"),
    [
        ("", 6),
        ("normalization: VALID", 6),
        ("normalization: FULL", 8),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalize: true", 6),
        ("normalize: false", 2),
        ("normalize: false normalization: FULL", 8),
        ("normalize: true normalization: NONE", 1),
    ],
)
def test_normalisation(option: str, divisor: float) -> None:
    x = np.linspace(-2, 3, 24).reshape(2, 3, 2, 2)
    y = np.array([[[0.0, 255], [2, 1]], [[255, 1], [0, 2]]])
    total = loss_of({"x": x, "y": y}, "loss_param { ignore_label: 255 normalization: NONE }")
    net = run(softmax_loss(f"loss_param {{ ignore_label: 255 {option} }}"), {"x": x, "y": y})
    assert net.blobs["t"].data == pytest.approx(total / divisor, rel=1e-15)
    assert np.abs(net.blobs["x"].diff[0, :, 0, 0]).sum() == pytest.approx(2 * (1 - _p(x)[0, 0, 0, 0]) / divisor)
    assert not net.blobs["x"].diff[0, :, 0, 1].any()


def _p(x: np.ndarray) -> np.ndarray:
    powers: np.ndarray = np.exp(x)
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("option", ["", "normalization: FULL", "normalization: BATCH_SIZE", "normalization: NONE"])
def test_ignoring_everything_gives_zero(option: str) -> None:
    net = run(softmax_loss(f"loss_param {{ ignore_label: 7 {option} }}"), {"x": X, "y": np.array([7.0, 7.9])})
    assert net.blobs["t"].data == 0
    assert not net.blobs["x"].diff.any()


def test_the_ignored_label_is_compared_after_truncation() -> None:
    assert loss_of({"x": X, "y": np.array([-1.9, -0.5])}, "loss_param { ignore_label: -1 }") == pytest.approx(
        np.log(np.exp(X[1] - 0.5).sum())
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_axis_equals_the_second_one_of_the_moved_array(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=5))
    axis = data.draw(st.integers(1, len(shape) - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal(shape)
    y = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    batch = int(np.prod(shape[:axis]))
    moved = np.moveaxis(x, axis, -1).reshape(batch, -1, shape[axis]).transpose(0, 2, 1)
    spelt = axis - len(shape) if data.draw(st.booleans()) else axis
    one = run(
        softmax_loss(f"softmax_param {{ axis: {spelt} }} loss_param {{ normalization: BATCH_SIZE }}"), {"x": x, "y": y}
    )
    other = run(softmax_loss("loss_param { normalization: BATCH_SIZE }"), {"x": moved, "y": y.reshape(batch, -1)})
    assert one.blobs["t"].data == other.blobs["t"].data
    back = other.blobs["x"].diff.transpose(0, 2, 1).reshape(*y.shape, shape[axis])
    np.testing.assert_array_equal(one.blobs["x"].diff, np.moveaxis(back, -1, axis))


def test_axis_0_takes_a_square() -> None:
    assert loss_of({"x": np.eye(3), "y": np.array([0.0, 1.0, 2.0])}, "softmax_param { axis: 0 }") == pytest.approx(
        np.log(np.e + 2) - 1
    )


@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 1, 1)])
def test_only_the_count_of_the_labels_matters(shape: tuple[int, ...]) -> None:
    assert loss_of({"x": X, "y": Y.reshape(shape)}) == pytest.approx(LOSS, rel=1e-15)


# Far out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("low", [-87.0, -88.0, -1e4, -np.inf])
def test_the_loss_is_capped_and_the_gradient_is_not(low: float, dtype: str) -> None:
    net = run(TEXT, {"x": np.array([[0.0, 0.0, low]]), "y": np.array([2.0])}, dtype)
    assert net.blobs["t"].data == pytest.approx(CAP, rel=1e-15 if dtype == "float64" else 1e-7)
    np.testing.assert_allclose(net.blobs["x"].diff, [[0.5, 0.5, -1]], atol=1e-15)
    assert net.met.departed == {"softmax-log-floor"}


def test_the_true_derivative_below_the_cap_is_zero() -> None:
    x = np.array([[0.0, 0.0, -100.0], [1.0, 2.0, 3.0]])
    net = run(TEXT, {"x": x, "y": np.array([2.0, 0.0])}, dialect=Dialect("true", (), DEPARTURES))
    assert not net.blobs["x"].diff[0].any()
    np.testing.assert_allclose(net.blobs["x"].diff[1].sum(), 0, atol=1e-15)
    assert net.blobs["x"].diff[1, 0] < -0.4


def test_above_the_cap_nothing_departs() -> None:
    net = run(TEXT, {"x": np.array([[0.0, -87.0]]), "y": np.array([1.0])})
    assert net.blobs["t"].data == pytest.approx(87, rel=1e-15)
    assert net.met.departed == set()


def test_a_loss_near_zero_keeps_its_digits() -> None:
    assert loss_of({"x": np.array([[40.0, 0.0]]), "y": np.array([0.0])}) == pytest.approx(np.exp(-40.0), rel=1e-15)


def test_large_logits_and_a_single_class() -> None:
    assert loss_of({"x": 1e4 + X, "y": Y}) == pytest.approx(LOSS, rel=1e-11)
    assert loss_of({"x": np.array([[3.0], [-2.0]]), "y": np.zeros(2)}) == 0


@pytest.mark.parametrize("row", [[np.nan, 0, 1], [np.inf, 0, 1], [0, np.inf, 1], [-np.inf] * 3])
@pytest.mark.parametrize("label", [0, 1])
def test_an_undefined_row_is_nan_and_the_others_are_not(row: list[float], label: int) -> None:
    net = run(TEXT, {"x": np.array([row, X[1]]), "y": np.array([float(label), 0.0])})
    assert np.isnan(net.blobs["t"].data)
    assert np.isnan(net.blobs["x"].diff[0]).all()
    np.testing.assert_allclose(net.blobs["x"].diff[1], GRADIENT[1], atol=1e-9)


def test_an_undefined_row_that_is_ignored_has_no_effect() -> None:
    x, y = np.array([[np.nan, 0, 1], X[1]]), np.array([9.0, 0.0])
    net = run(softmax_loss("loss_param { ignore_label: 9 }"), {"x": x, "y": y})
    assert np.isfinite(net.blobs["t"].data)
    assert not net.blobs["x"].diff[0].any()


def test_another_minus_infinity_is_a_probability_of_zero() -> None:
    net = run(TEXT, {"x": np.array([[1.0, -np.inf, 1.0]]), "y": np.array([0.0])})
    assert net.blobs["t"].data == pytest.approx(np.log(2))
    np.testing.assert_array_equal(net.blobs["x"].diff, [[-0.5, 0, 0.5]])


def test_backward_uses_the_softmax_of_forward() -> None:
    net = net_of(TEXT, {"x": X, "y": Y})
    net.forward()
    net.blobs["x"].data[...] = 0
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, GRADIENT, atol=1e-9)


def test_backward_without_a_forward_finds_a_softmax_of_zeros() -> None:
    net = net_of(TEXT, {"x": X, "y": Y})
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, [[0, 0, -0.5], [-0.5, 0, 0]])


# Two tops

TWO = 'top: "t" top: "p"'
WEIGHTED = [(1.0, 0.0), (1.0, 0.5), (0.0, 1.0), (-2.0, 3.0)]


@pytest.mark.parametrize("weights", [None, *WEIGHTED])
def test_documented_the_second_top_is_the_softmax_and_counts(weights: tuple[float, float] | None) -> None:
    body = "" if weights is None else "loss_weight: {} loss_weight: {}".format(*weights)
    first, second = weights or (1.0, 0.0)
    net = run(softmax_loss(body, TWO), {"x": X, "y": Y})
    np.testing.assert_allclose(net.blobs["p"].data, _p(X), rtol=1e-15)
    assert net.forward() == pytest.approx(first * LOSS + second * 2, rel=1e-15)
    # a sum of softmaxes is constant
    np.testing.assert_allclose(net.blobs["x"].diff, first * np.array(GRADIENT), atol=1e-9)


SQUARED = 'layer { name: "q" type: "Power" bottom: "p" top: "q" loss_weight: 0.7 power_param { power: 2 } }'


@pytest.mark.parametrize("weights", ["", "loss_weight: 1 loss_weight: 0", "loss_weight: -0.5 loss_weight: 2"])
def test_documented_the_gradient_of_a_consumed_second_top_arrives(weights: str) -> None:
    text = softmax_loss(f"{weights} loss_param {{ ignore_label: 0 }}", TWO) + SQUARED
    net, complex_net = run(text, {"x": X, "y": Y}), net_of(text, {"x": X, "y": Y}, "complex128")
    for index in np.ndindex(2, 3):
        complex_net.blobs["x"].data[index] += 1e-30j
        assert net.blobs["x"].diff[index] == pytest.approx(complex_net.forward().imag / 1e-30, abs=1e-15)
        complex_net.blobs["x"].data[index] = X[index]
    assert net.blobs["x"].diff[1].any()


@pytest.mark.parametrize(
    ("weights", "quirk"),
    [("", "implicit-weight-once"), ("loss_weight: 1 loss_weight: 0", "softmax-inner-loss-weights")],
)
def test_bvlc_caffe_cannot_build_two_tops(weights: str, quirk: str) -> None:
    text = softmax_loss(weights, TWO)
    with pytest.raises(NetError) as refusal:
        net_of(text, {"x": X, "y": Y}, dialect="bvlc")
    assert refusal.value.stage == "setup"
    with pytest.raises(NetError):
        net_of(text, {"x": X, "y": Y}, dialect=Dialect("mine", {quirk}))
    assert run(text, {"x": X, "y": Y}).met.touched == {quirk}


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
@pytest.mark.parametrize(
    ("weights", "tops"),
    [("loss_weight: 1", TWO), ("loss_weight: 1 loss_weight: 1", 'top: "t"'), ("", TWO + ' top: "v"')],
)
def test_weights_come_once_per_top_and_tops_are_two_at_most(weights: str, tops: str, dialect: str) -> None:
    with pytest.raises(NetError) as refusal:
        net_of(softmax_loss(weights, tops), {"x": X, "y": Y}, dialect=dialect)
    assert refusal.value.stage == "setup"


# Refusals and kinks


@pytest.mark.parametrize(
    ("x", "y", "body", "message"),
    [
        ((2, 3), (2,), "softmax_param { axis: 2 }", "axis 2 is out of range"),
        ((2, 3), (2,), "softmax_param { axis: -3 }", "axis -3 is out of range"),
        ((2,), (2,), "", "axis 1 is out of range"),
        ((2, 3, 2), (2,), "", r"2 label\(s\) of shape \(2,\) for 4 prediction"),
        ((2, 3), (2, 2), "", r"4 label\(s\) of shape \(2, 2\) for 2 prediction"),
        ((), (1,), "", "axis 0 is out of range"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_at_set_up(x: Any, y: Any, body: str, message: str) -> None:
    with pytest.raises(NetError, match=message) as refusal:
        Net(blob("x", x) + blob("y", y) + softmax_loss(body))
    assert refusal.value.stage == "setup"


def test_kinks_are_where_a_label_reaches_the_cap() -> None:
    x = np.array([[0.0, -80.0], [0.0, -90.0], [1.0, 2.0]])
    net = net_of(softmax_loss("loss_param { ignore_label: 7 }"), {"x": x, "y": np.array([1.0, 1.0, 7.0])})
    node = net.layers[-1]
    distance, none = node.layer.kinks(net.bottoms_of(node))
    assert none is None
    np.testing.assert_allclose(distance, [[CAP - 80] * 2, [90 - CAP] * 2, [np.inf] * 2])
