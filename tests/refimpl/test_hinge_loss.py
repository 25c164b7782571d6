"""HingeLoss: values, kinks, shapes, NaN; and the margins that BVLC Caffe leaves in the bottom's diff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.net import Net
from refimpl.running_error import Rounding
from tests.small_nets import blob, net_of, run

X = np.array([[1.0, -1.0, 0.5], [-2.0, 0.3, -0.9]])
Y = np.array([2.0, 0.0])
MARGINS = np.array([[2.0, 0.0, 0.5], [3.0, 1.3, 0.1]])
GRADIENT = {
    "L1": np.array([[0.5, 0.0, -0.5], [-0.5, 0.5, 0.5]]),
    "L2": np.array([[2.0, 0.0, -0.5], [-3.0, 1.3, 0.1]]),
}
QUIRK = "hinge-scratch"


def text(norm: str = "L1", body: str = "") -> str:
    return (
        f'layer {{ name: "n" type: "HingeLoss" bottom: "x" bottom: "y" top: "l" hinge_loss_param {{ norm: {norm} }} '
        f"{body} }}"
    )


def after(passes: Sequence[str], norm: str = "L1", dialect: Any = "bvlc", body: str = "") -> Net:
    net = net_of(text(norm, body), {"x": X, "y": Y}, dialect=dialect)
    for step in passes:
        getattr(net, step)()
    return net


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
@pytest.mark.parametrize(("norm", "loss"), [("L1", 3.45), ("L2", 7.475)])
def test_loss_and_gradient(norm: str, loss: float, dialect: str) -> None:
    net = after(["forward", "backward"], norm, dialect)
    assert net.blobs["l"].data == pytest.approx(loss, rel=1e-15)
    np.testing.assert_allclose(net.blobs["x"].diff, GRADIENT[norm], rtol=1e-15)
    assert net.met.touched == frozenset()


def test_l1_is_the_default() -> None:
    plain = text().replace("hinge_loss_param { norm: L1 }", "")
    assert net_of(plain, {"x": X, "y": Y}).forward() == pytest.approx(3.45)


def test_at_a_kink_the_gradient_is_zero_and_just_inside_it_is_full() -> None:
    x = np.array([[1.0, -1.0, -1.0 + 1e-15], [1.0 - 1e-15, -1.0, -1.0]])
    net = run(text(), {"x": x, "y": np.array([0.0, 0.0])})
    np.testing.assert_array_equal(net.blobs["x"].diff, [[0, 0, 0.5], [-0.5, 0, 0]])


@pytest.mark.parametrize("subgradient", [False, True])
def test_any_subgradient_is_within_the_bound_where_it_is_asked_for(subgradient: bool) -> None:
    float32 = Rounding(2.0**-24, 2.0**-126, float(np.finfo(np.float32).max), subgradient=subgradient)
    diff = run(text(), {"x": np.array([[1.0, -1.0, -5.0]]), "y": np.zeros(1)}, float32).blobs["x"].diff
    low, high = ([[-1, 0, 0]], [[0, 1, 0]]) if subgradient else (np.zeros((1, 3)), np.zeros((1, 3)))
    np.testing.assert_allclose(diff.value - diff.error, low, atol=1e-6)
    np.testing.assert_allclose(diff.value + diff.error, high, atol=1e-6)


def test_kinks_are_at_a_margin_of_zero_in_l1_only() -> None:
    for norm in ("L1", "L2"):
        net = after(["forward"], norm, "documented")
        node = net.layers[-1]
        distance, none = node.layer.kinks(net.bottoms_of(node))
        assert none is None
        if norm == "L2":
            assert distance is None
        else:
            np.testing.assert_allclose(distance, np.abs(1 + np.where(GRADIENT["L1"] < 0, -X, X)), rtol=1e-15)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 5), (2, 1, 1, 2)])
def test_the_first_labels_count_whatever_the_shape(shape: tuple[int, ...]) -> None:
    y = np.zeros(int(np.prod(shape)))
    y[:2] = Y
    y[2:] = 77
    assert net_of(text(), {"x": X, "y": y.reshape(shape)}).forward() == pytest.approx(3.45)


def test_maps_are_flattened_to_classes() -> None:
    x = np.zeros((2, 3, 2, 2))
    x[0, 2, 1, 1] = -4
    net = run(text(), {"x": x, "y": np.array([11.0, 0.0])})
    assert net.blobs["l"].data == (5 + 23) / 2
    assert (net.blobs["x"].diff < 0).sum() == 2
    assert net.blobs["x"].diff[0, 2, 1, 1] == -0.5


@pytest.mark.parametrize(("norm", "at_infinity"), [("L1", 1.0), ("L2", np.inf)])
def test_an_infinite_score(norm: str, at_infinity: float) -> None:
    net = run(text(norm), {"x": np.array([[0.0, np.inf, -np.inf]]), "y": np.zeros(1)})
    assert net.blobs["l"].data == np.inf
    np.testing.assert_array_equal(net.blobs["x"].diff, [[-1 if norm == "L1" else -2, at_infinity, 0]])


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_a_nan_score_is_swallowed_or_not(norm: str) -> None:
    x = np.where(X == -1, np.nan, X)
    caffe = run(text(norm), {"x": x, "y": Y}, dialect="bvlc")
    assert caffe.blobs["l"].data == pytest.approx({"L1": 3.45, "L2": 7.475}[norm])
    np.testing.assert_allclose(caffe.blobs["x"].diff, GRADIENT[norm], rtol=1e-15)
    documented = run(text(norm), {"x": x, "y": Y})
    assert np.isnan(documented.blobs["l"].data)
    np.testing.assert_array_equal(np.isnan(documented.blobs["x"].diff), (X == -1) & (norm == "L2"))
    derived = run(text(norm), {"x": x, "y": Y}, dialect=Dialect("derived", (), {"hinge-nan-slope"}))
    np.testing.assert_array_equal(np.isnan(derived.blobs["x"].diff), X == -1)
    assert caffe.met.touched == documented.met.touched == {"hinge-swallows-nan"}


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(NetError, match=r"0 label\(s\) for 2 samples") as refusal:
        net_of(text(), {"x": X, "y": np.zeros((2, 0))}).forward()
    assert refusal.value.stage == "forward"


# The scratch


def test_a_forward_leaves_the_margins_in_the_diff_or_leaves_it_alone() -> None:
    caffe, documented = after(["forward"]), after(["forward"], dialect="documented")
    np.testing.assert_allclose(caffe.blobs["x"].diff, MARGINS, rtol=1e-15)
    assert not documented.blobs["x"].diff.any()
    assert caffe.met.touched == documented.met.touched == {QUIRK}


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_a_second_backward_flips_the_label_back_or_repeats(norm: str) -> None:
    twice = ["forward", "backward", "backward"]
    caffe, documented = after(twice, norm), after(twice, norm, "documented")
    np.testing.assert_allclose(caffe.blobs["x"].diff, np.abs(GRADIENT[norm]), rtol=1e-15)
    np.testing.assert_allclose(documented.blobs["x"].diff, GRADIENT[norm], rtol=1e-15)
    assert caffe.met.touched == documented.met.touched == {QUIRK}


def test_what_is_written_over_the_scratch_becomes_the_gradient() -> None:
    for dialect, expected in (("bvlc", np.zeros((2, 3))), ("documented", GRADIENT["L1"])):
        net = after(["forward"], dialect=dialect)
        net.blobs["x"].diff[...] = 0
        net.blobs["x"].diff[0, 1] = 0
        net.backward()
        np.testing.assert_array_equal(net.blobs["x"].diff, expected)


def test_changed_scores_are_seen_or_not() -> None:
    for dialect, expected in (("bvlc", GRADIENT["L1"]), ("documented", np.array([[0, 0, 0], [0, 0, 0]]))):
        net = after(["forward"], dialect=dialect)
        net.blobs["x"].data[...] = np.where(GRADIENT["L1"] < 0, 5, -5)
        net.backward()
        np.testing.assert_array_equal(net.blobs["x"].diff, expected)
        assert net.met.touched == {QUIRK}


def test_a_backward_without_a_forward_finds_zeros_or_computes() -> None:
    np.testing.assert_array_equal(after(["backward"]).blobs["x"].diff, 0)
    np.testing.assert_array_equal(after(["backward"], dialect="documented").blobs["x"].diff, GRADIENT["L1"])


def test_the_scratch_of_an_unweighted_head_leaks_into_shared_logits() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
    scaled = 'layer { name: "s" type: "Bias" bottom: "x" top: "z" bias_param { axis: 0 num_axes: 2 } }'
    heads = (
        'layer { name: "a" type: "SoftmaxWithLoss" bottom: "z" bottom: "y" top: "m" }'
        'layer { name: "b" type: "HingeLoss" bottom: "z" bottom: "y" top: "l" loss_weight: 0 }'
    )
    softmax = np.array([[0.045015287, 0.122364236, -0.167379522], [-0.250241135, 0.055728736, 0.1945124]])
    leaked = np.array([[2.0, 3.0, 0.0], [0.5, 0.0, 1.25]])
    for dialect, expected in (("bvlc", softmax + leaked), ("documented", softmax)):
        net = Net(blob("x", (2, 3)) + blob("y", (2,)) + scaled + heads, dialect=dialect)
        net.blobs["x"].data[...] = logits
        net.blobs["y"].data[...] = Y
        net.forward()
        net.backward()
        np.testing.assert_allclose(net.blobs["z"].diff, expected, atol=1e-9)
        assert net.met.touched == {QUIRK}


def test_the_scratch_is_one_switch_of_its_own() -> None:
    mine = after(["forward"], dialect=Dialect("mine", {QUIRK}))
    np.testing.assert_allclose(mine.blobs["x"].diff, MARGINS, rtol=1e-15)
    x = np.where(X == -1, np.nan, X)
    net = net_of(text(), {"x": x, "y": Y}, dialect=Dialect("mine", {QUIRK}))
    net.forward()
    np.testing.assert_array_equal(np.isnan(net.blobs["x"].diff), X == -1)
