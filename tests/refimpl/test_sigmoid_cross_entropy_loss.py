"""SigmoidCrossEntropyLoss: values, normalisation, any target, saturation, NaN and infinities, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import NetError
from refimpl.running_error import Rounding
from tests.small_nets import net_of, run

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
T = np.array([[0.0, 1.0, 0.3], [1.0, 0.7, 0.0]])
TOTAL = 5.90205514171211


def text(body: str = "") -> str:
    return f'layer {{ name: "n" type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "t" top: "l" {body} }}'


@pytest.mark.parametrize(
    ("option", "divisor"),
    [
        ("", 2),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: VALID", 6),
        ("normalization: FULL", 6),
        ("normalization: NONE", 1),
        ("normalize: true", 6),
        ("normalize: false", 2),
        ("normalize: false normalization: FULL", 6),
    ],
)
def test_the_default_normaliser_is_the_batch(option: str, divisor: float) -> None:
    net = run(text(f"loss_param {{ {option} }}"), {"x": X, "t": T})
    assert net.blobs["l"].data == pytest.approx(TOTAL / divisor, rel=1e-14)
    np.testing.assert_allclose(net.blobs["x"].diff, (1 / (1 + np.exp(-X)) - T) / divisor, rtol=1e-14)


@pytest.mark.parametrize(
    ("option", "loss"),
    [("VALID", 1.32526), ("FULL", 0.88351), ("BATCH_SIZE", 2.65053), ("NONE", 5.30105)],
)
def test_an_ignored_target_has_no_loss_and_no_gradient(option: str, loss: float) -> None:
    net = run(text(f"loss_param {{ ignore_label: 1 normalization: {option} }}"), {"x": X, "t": T})
    assert net.blobs["l"].data == pytest.approx(loss, abs=1e-5)
    np.testing.assert_array_equal(net.blobs["x"].diff == 0, T == 1)


def test_the_ignored_target_is_compared_after_truncation() -> None:
    x, t = np.zeros((1, 4)), np.array([[-1.0, -1.5, -0.5, -2.0]])
    net = run(text("loss_param { ignore_label: -1 normalization: NONE }"), {"x": x, "t": t})
    np.testing.assert_array_equal(net.blobs["x"].diff, [[0, 0, 1.0, 2.5]])
    ignored = run(text("loss_param { ignore_label: 0 }"), {"x": X, "t": np.full((2, 3), 0.7)})
    assert ignored.blobs["l"].data == 0


def test_maps_of_zeros_and_targets_of_another_shape() -> None:
    assert net_of(text(), {"x": np.zeros((2, 3, 2, 2)), "t": np.zeros((2, 12))}).forward() == pytest.approx(
        12 * np.log(2), rel=1e-15
    )


def test_targets_may_be_any_number() -> None:
    net = net_of(text(), {"x": X, "t": np.where(T == 0, 2.0, np.where(T == 1, -1.0, T))})
    assert net.forward() == pytest.approx(np.sum(np.log1p(np.exp(X)) - X * net.blobs["t"].data) / 2, rel=1e-14)
    assert net_of(text(), {"x": np.array([[5.0]]), "t": np.array([[3.0]])}).forward() < -9


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saturated_logits_cost_their_size(dtype: str) -> None:
    x, t = np.array([[1e4, -1e4, 1e4, -1e4]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    net = run(text(), {"x": x, "t": t}, dtype)
    assert net.blobs["l"].data == 2e4
    np.testing.assert_array_equal(net.blobs["x"].diff, [[1, -1, 0, 0]])


def test_a_tiny_loss_and_a_tiny_gradient_keep_their_digits() -> None:
    net = run(text(), {"x": np.array([[-50.0, -300.0]]), "t": np.zeros((1, 2))})
    assert net.blobs["l"].data == pytest.approx(np.exp(-50.0), rel=1e-15)
    np.testing.assert_allclose(net.blobs["x"].diff, np.exp([[-50.0, -300.0]]), rtol=1e-14)


def test_the_bound_admits_a_gradient_of_zero_far_to_the_left() -> None:
    float32 = Rounding(2.0**-24, 2.0**-126, float(np.finfo(np.float32).max))
    diff = run(text(), {"x": np.array([[-50.0]]), "t": np.zeros((1, 1))}, float32).blobs["x"].diff
    assert diff.value < diff.error < 2 * float32.unit


@pytest.mark.parametrize("logit", [np.inf, -np.inf])
@pytest.mark.parametrize("target", [0.0, 1.0, 0.5])
def test_an_infinite_logit_has_no_loss_and_a_finite_gradient(logit: float, target: float) -> None:
    net = run(text(), {"x": np.array([[logit, 1.0]]), "t": np.array([[target, 1.0]])})
    assert np.isnan(net.blobs["l"].data)
    np.testing.assert_allclose(net.blobs["x"].diff, [[(logit > 0) - target, -1 / (1 + np.e)]], rtol=1e-15)


def test_nan_stays_where_it_is_and_counts_for_nothing_where_ignored() -> None:
    x = np.array([[np.nan, 1.0]])
    net = run(text(), {"x": x, "t": np.array([[0.0, 1.0]])})
    assert np.isnan(net.blobs["l"].data)
    np.testing.assert_array_equal(np.isnan(net.blobs["x"].diff), [[True, False]])
    ignored = run(text("loss_param { ignore_label: 9 }"), {"x": x, "t": np.array([[9.0, 1.0]])})
    assert ignored.blobs["l"].data == pytest.approx(np.log1p(np.exp(-1)))
    assert ignored.blobs["x"].diff[0, 0] == 0


def test_backward_before_forward_has_no_normaliser() -> None:
    with pytest.raises(NetError, match="run forward first") as refusal:
        net_of(text(), {"x": X, "t": T}).backward()
    assert refusal.value.stage == "backward"


def test_counts_must_agree() -> None:
    with pytest.raises(NetError, match="differ in count") as refusal:
        net_of(text(), {"x": X, "t": np.zeros((2, 4))})
    assert refusal.value.stage == "setup"
