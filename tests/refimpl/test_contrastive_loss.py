"""ContrastiveLoss: values of both versions, the offset in the gradient, similarity, zero distance, buffers, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, Dialect
from refimpl.errors import NetError
from refimpl.net import Net
from tests.small_nets import net_of, run

A = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0], [0.5, 0.5]])
B = np.array([[1.0, 1.0], [0.3, 0.4], [0.0, 1.0], [0.5, 0.5]])
S = np.array([1.0, 0.0, 0.0, 0.0])
INPUTS = {"a": A, "b": B, "s": S}


def text(body: str = "") -> str:
    return (
        'layer { name: "n" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "s" top: "l" '
        f"contrastive_loss_param {{ {body} }} }}"
    )


def true_derivative() -> Dialect:
    return Dialect("true", (), DEPARTURES)


@pytest.mark.parametrize(
    ("body", "loss"),
    [
        ("", 0.28125),
        ("legacy_version: true", 0.34375),
        ("margin: 5", 6.28125),
        ("margin: 5 legacy_version: true", 1.34375),
        ("margin: 0", 0.125),
        ("margin: -1", 0.125),
        ("margin: -1 legacy_version: true", 0.125),
    ],
)
def test_losses(body: str, loss: float) -> None:
    assert net_of(text(body), INPUTS).forward() == pytest.approx(loss, rel=1e-15)


def test_the_gradient_divides_by_a_little_more_than_the_distance() -> None:
    net = run(text(), INPUTS)
    np.testing.assert_array_equal(net.blobs["a"].diff[0], [0, 0.25])
    np.testing.assert_allclose(net.blobs["a"].diff[1], (1 - 0.5) / (0.5 + 1e-4) / 4 * np.array([0.3, 0.4]))
    assert net.blobs["a"].diff[1, 0] == pytest.approx(0.074985003, rel=1e-8)
    np.testing.assert_array_equal(net.blobs["a"].diff[2:], 0)
    np.testing.assert_array_equal(net.blobs["b"].diff, -net.blobs["a"].diff)
    assert net.met.departed == {"contrastive-distance-offset"}


def test_the_true_derivative_divides_by_the_distance() -> None:
    net = run(text(), INPUTS, dialect=true_derivative())
    np.testing.assert_allclose(net.blobs["a"].diff[1], [0.075, 0.1], rtol=1e-14)
    np.testing.assert_array_equal(net.blobs["a"].diff[3], 0)


def test_legacy_has_no_offset() -> None:
    net = run(text("legacy_version: true"), INPUTS)
    np.testing.assert_array_equal(net.blobs["a"].diff, [[0, 0.25], [0.075, 0.1], [0, 0], [0, 0]])
    assert net.met.departed == set()


def test_beyond_the_margin_nothing_departs() -> None:
    net = run(text(), {"a": A[2:3], "b": B[2:3], "s": S[2:3]})
    assert not net.blobs["a"].diff.any()
    assert net.met.departed == set()


@pytest.mark.parametrize("body", ["margin: 5", "margin: 25 legacy_version: true"])
def test_at_the_margin_there_is_no_gradient(body: str) -> None:
    net = run(text(body), {"a": np.array([[3.0, 4.0]]), "b": np.zeros((1, 2)), "s": np.zeros(1)})
    assert net.blobs["l"].data == 0
    assert not net.blobs["a"].diff.any()


@pytest.mark.parametrize(
    ("flag", "similar"),
    [(1, True), (2, True), (-1, True), (5, True), (np.nan, True), (0.5, False), (0.9, False), (-0.5, False)],
)
def test_similarity_is_a_truncated_number_other_than_zero(flag: float, similar: bool) -> None:
    net = net_of(text("margin: 2"), {"a": A[1:2], "b": B[1:2], "s": np.array([flag])})
    assert net.forward() == pytest.approx(0.125 if similar else 1.125)


def test_zero_distance_costs_the_margin_and_has_no_gradient() -> None:
    net = run(text(), {"a": A[3:], "b": B[3:], "s": S[3:]})
    assert net.blobs["l"].data == 0.5
    np.testing.assert_array_equal(net.blobs["a"].diff, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("body", ["", "legacy_version: true"])
def test_an_undefined_dissimilar_pair_has_no_gradient(body: str, value: float) -> None:
    a = np.array([[value, 0.0], [0.3, 0.4]])
    net = run(text(body), {"a": a, "b": np.zeros((2, 2)), "s": np.zeros(2)})
    assert np.isnan(net.blobs["l"].data) == np.isnan(value)
    np.testing.assert_array_equal(net.blobs["a"].diff[0], 0)
    assert net.blobs["a"].diff[1].all()


def test_the_similarity_takes_no_gradient_and_nobody_complains() -> None:
    net = net_of(text().replace("top:", "propagate_down: true propagate_down: true propagate_down: true top:"), INPUTS)
    net.blobs["s"].diff[...] = 7
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.blobs["s"].diff, 7)


def test_backward_uses_the_difference_of_forward_and_the_live_similarity() -> None:
    net = net_of(text(), INPUTS)
    net.forward()
    net.blobs["a"].data[...] = 9
    net.blobs["s"].data[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["a"].diff, (A - B) / 4)


def feed(net: Net, rows: int) -> None:
    for name, value in INPUTS.items():
        longer = np.resize(value, (rows, *value.shape[1:]))
        net.blobs[name].reshape(*longer.shape)
        net.blobs[name].data[...] = longer


def test_a_larger_batch_overruns_caffe_and_is_followed_otherwise() -> None:
    documented, caffe = net_of(text(), INPUTS), net_of(text(), INPUTS, dialect="bvlc")
    for net in (documented, caffe):
        feed(net, 3)
        net.forward()
        assert net.met.touched == frozenset()
        feed(net, 8)
    assert documented.forward() == pytest.approx(0.28125)
    with pytest.raises(NetError, match="overruns the buffers") as refusal:
        caffe.forward()
    assert refusal.value.stage == "forward"
    assert documented.met.touched == caffe.met.touched == {"contrastive-buffers-sized-once"}


@pytest.mark.parametrize("similarities", [np.zeros(6), np.zeros((4, 1)), np.zeros((5, 1, 1, 1))])
def test_there_may_be_more_similarities_than_pairs(similarities: np.ndarray) -> None:
    net_of(text(), {**INPUTS, "s": similarities}).forward()


def test_fewer_similarities_than_pairs_are_refused() -> None:
    with pytest.raises(NetError, match="3 similarities for 4 pairs") as refusal:
        net_of(text(), {**INPUTS, "s": np.zeros(3)}).forward()
    assert refusal.value.stage == "forward"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a": A.reshape(4, 1, 2, 1), "b": B}, "bottom a has the shape"),
        ({"b": B.reshape(4, 1, 1, 2)}, "bottom b has the shape"),
        ({"b": np.zeros((4, 3))}, "differ in length"),
        ({"s": np.zeros((4, 2))}, "the similarities have the shape"),
        ({"a": A.reshape(4, 2, 1, 1, 1)}, "5 axes"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_at_set_up(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(NetError, match=message) as refusal:
        net_of(text(), {**INPUTS, **changed})
    assert refusal.value.stage == "setup"


def test_vectors_of_one_entry_may_lack_their_axis() -> None:
    assert (
        net_of(text(), {"a": np.array([1.0, 0.25]), "b": np.zeros(2), "s": np.array([1.0, 0.0])}).forward()
        == (1 + 0.75**2) / 4
    )


@pytest.mark.parametrize(
    ("body", "distances"),
    [
        ("", [np.inf, 0.5, 3, 0]),
        ("margin: 4 legacy_version: true", [np.inf, 1.5, 1, 2]),
        ("margin: -1", [np.inf] * 4),
    ],
)
def test_kinks_are_at_zero_distance_or_at_the_legacy_margin(body: str, distances: list[float]) -> None:
    net = net_of(text(body), INPUTS)
    node = net.layers[-1]
    left, right, none = node.layer.kinks(net.bottoms_of(node))
    assert none is None
    np.testing.assert_allclose(left, np.array(distances)[:, None] * np.ones(2))
    np.testing.assert_array_equal(left, right)
