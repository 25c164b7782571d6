"""InfogainLoss: values, its matrix from either source, the floor, normalisation, the second top, refusals."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, Dialect
from refimpl.errors import NetError
from refimpl.net import Net
from refimpl.running_error import Rounding
from tests.small_nets import blob, net_of, run

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
Y = np.array([2.0, 0.0])
H = np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.1, 0.0, 2.0]])
LOSS = 1.0944535745
FLOAT32 = Rounding(2.0**-24, 2.0**-126, float(np.finfo(np.float32).max))
INPUTS = {"x": X, "y": Y, "h": H}
P = np.exp(X) / np.exp(X).sum(1, keepdims=True)


def text(body: str = "", tops: str = 'top: "l"', matrix: str = 'bottom: "h"') -> str:
    return f'layer {{ name: "n" type: "InfogainLoss" bottom: "x" bottom: "y" {matrix} {tops} {body} }}'


def gradient(h: np.ndarray = H, y: np.ndarray = Y) -> np.ndarray:
    rows = h[y.astype(int)]
    result: np.ndarray = (P * rows.sum(1, keepdims=True) - rows) / 2
    return result


def test_loss_and_gradient() -> None:
    net = run(text(), INPUTS)
    assert net.blobs["l"].data == pytest.approx(LOSS, rel=1e-10)
    assert net.blobs["l"].data == pytest.approx(-(H[[2, 0]] * np.log(P)).sum() / 2, rel=1e-15)
    np.testing.assert_allclose(net.blobs["x"].diff, gradient(), rtol=1e-13)
    assert not net.blobs["h"].diff.any()


def test_the_identity_makes_it_a_softmax_loss() -> None:
    assert net_of(text(), {**INPUTS, "h": np.eye(3)}).forward() == pytest.approx(0.5508590754231475, rel=1e-15)


def test_a_negative_matrix_negates_and_a_zero_one_nullifies() -> None:
    assert net_of(text(), {**INPUTS, "h": -H}).forward() == -net_of(text(), INPUTS).forward()
    net = run(text(), {**INPUTS, "h": 0 * H})
    assert net.blobs["l"].data == 0
    assert not net.blobs["x"].diff.any()


def test_a_row_of_zeros_counts_in_the_normaliser() -> None:
    h = np.where(np.arange(3)[:, None] == 0, 0, H)
    alone = net_of(text(), {"x": X[:1], "y": Y[:1], "h": h}).forward()
    assert net_of(text(), {**INPUTS, "h": h}).forward() == pytest.approx(alone / 2, rel=1e-15)


@pytest.mark.parametrize(("option", "loss"), [("FULL", 0.5279863), ("BATCH_SIZE", 0.5279863), ("VALID", 1.0559725)])
def test_normalisation(option: str, loss: float) -> None:
    body = f"loss_param {{ ignore_label: 0 normalization: {option} }}"
    assert net_of(text(body), INPUTS).forward() == pytest.approx(loss, abs=1e-7)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_axis_is_its_own_and_not_the_softmax_layers(axis: int) -> None:
    rng = np.random.default_rng(3)
    shape = [2, 2, 2, 2]
    shape[axis] = 3
    x = rng.standard_normal(shape)
    y = rng.integers(0, 3, [*shape[:axis], *shape[axis:][1:]])
    rows = np.moveaxis(x, axis, -1)
    p = np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)
    expected = -(H[y.reshape(rows.shape[:-1])] * np.log(p)).sum() / y.size
    body = f"infogain_loss_param {{ axis: {axis} }} softmax_param {{ axis: 0 }}"
    assert net_of(text(body), {"x": x, "y": y, "h": H}).forward() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("shape", [(9,), (1, 1, 3, 3), (3, 3, 1)])
def test_only_the_count_of_the_matrix_matters(shape: tuple[int, ...]) -> None:
    assert net_of(text(), {**INPUTS, "h": H.reshape(shape)}).forward() == pytest.approx(LOSS, rel=1e-10)


def test_the_matrix_and_the_labels_are_read_live_and_the_softmax_is_not() -> None:
    net = net_of(text(), INPUTS)
    net.forward()
    net.blobs["x"].data[...] = 0
    net.blobs["h"].data[...] = H.T
    net.blobs["y"].data[...] = [0, 1]
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, gradient(H.T, np.array([0, 1])), rtol=1e-13)


# The floor


def test_logarithms_are_held_at_the_floor() -> None:
    inputs = {"x": np.array([[0.0, 0.0, -60.0]]), "y": np.array([2.0]), "h": np.eye(3)}
    net = run(text(), inputs)
    assert net.blobs["l"].data == pytest.approx(46.0517018916, rel=1e-11)
    np.testing.assert_allclose(net.blobs["x"].diff, [[0.5, 0.5, -1]], rtol=1e-15)
    assert net.met.departed == {"infogain-log-floor"}


def test_the_true_derivative_leaves_held_logarithms_out() -> None:
    inputs = {"x": np.array([[0.0, 1.0, -60.0]]), "y": np.array([2.0]), "h": H + 0.5}
    net = run(text(), inputs, dialect=Dialect("true", (), DEPARTURES))
    complex_net = net_of(text(), inputs, "complex128")
    for i in range(3):
        complex_net.blobs["x"].data[0, i] += 1e-30j
        assert net.blobs["x"].diff[0, i] == pytest.approx(complex_net.forward().imag / 1e-30, rel=1e-14)
        complex_net.blobs["x"].data[0, i] = inputs["x"][0, i]


def test_a_small_probability_that_does_not_count_departs_from_nothing() -> None:
    h = np.array([[1.0, 0.5, 0.0], [0, 0, 0], [0, 0, 0]])
    net = run(text(), {"x": np.array([[0.0, 0.0, -60.0]]), "y": np.zeros(1), "h": h})
    assert net.met.departed == set()


def test_an_undefined_row_is_nan_even_where_the_matrix_is_zero() -> None:
    for value in (np.nan, np.inf):
        net = run(text(), {**INPUTS, "x": np.array([[value, 0, 0], X[1]]), "h": 0 * H})
        assert np.isnan(net.blobs["l"].data)
        np.testing.assert_array_equal(np.isnan(net.blobs["x"].diff), [[True] * 3, [False] * 3])


def test_kinks_are_where_a_counting_probability_reaches_the_floor() -> None:
    h = np.array([[1.0, 0.5, 0.0], [0, 0, 1], [0, 0, 0]])
    x = np.array([[0.0, 0.0, -60.0]] * 3)
    net = net_of(text(), {"x": x, "y": np.arange(3.0), "h": h})
    node = net.layers[-1]
    distance, *others = node.layer.kinks(net.bottoms_of(node))
    assert others == [None, None]
    floor, half = np.log(np.float64(np.float32(1e-20))), np.log(0.5)
    np.testing.assert_allclose(distance, [[half - floor] * 3, [floor - half + 60] * 3, [np.inf] * 3])


# A matrix from a file


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, kind: int, payload: bytes) -> bytes:
    return varint(number << 3 | kind) + (varint(len(payload)) if kind == 2 else b"") + payload


def blobproto(values: np.ndarray, code: str = "f") -> bytes:
    shape = field(7, 2, field(1, 2, b"".join(map(varint, values.shape))))
    number = 5 if code == "f" else 8
    return shape + field(number, 2, struct.pack(f"<{values.size}{code}", *values.ravel()))


def from_file(files: Mapping[str, bytes], dtype: Any = "float64", source: str = "H.binaryproto") -> Net:
    layer = text(f'infogain_loss_param {{ source: "{source}" }}', matrix="")
    net = Net(blob("x", X.shape) + blob("y", Y.shape) + "force_backward: true\n" + layer, dtype=dtype, files=files)
    net.blobs["x"].data[...], net.blobs["y"].data[...] = X, Y
    net.forward()
    net.backward()
    return net


@pytest.mark.parametrize(("code", "h"), [("f", H.astype(np.float32).astype(float)), ("d", H)])
def test_the_matrix_may_come_from_a_file(code: str, h: np.ndarray) -> None:
    net = from_file({"H.binaryproto": blobproto(H, code)})
    assert net.blobs["l"].data == net_of(text(), {**INPUTS, "h": h}).forward()
    np.testing.assert_allclose(net.blobs["x"].diff, gradient(h), rtol=1e-13)


def test_a_matrix_of_doubles_is_charged_its_rounding_and_one_of_floats_is_not() -> None:
    given, read = (from_file({"H.binaryproto": blobproto(H, code)}, FLOAT32) for code in "fd")
    assert (given.layers[-1].layer.matrix.data.error == 0).all()
    np.testing.assert_array_equal(read.layers[-1].layer.matrix.data.error > 0, ~np.isin(H, [0, 1, 2]))


def test_the_file_is_looked_up_on_disk_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("H.binaryproto").write_bytes(blobproto(H, "d"))
    assert from_file({}).blobs["l"].data == pytest.approx(LOSS, rel=1e-10)


def test_a_third_bottom_wins_and_the_file_is_not_opened() -> None:
    body = 'infogain_loss_param { source: "/nonexistent" }'
    assert net_of(text(body), INPUTS).forward() == pytest.approx(LOSS, rel=1e-10)


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({}, "nowhere/H", "cannot read the file 'nowhere/H': No such file"),
        ({"H": blobproto(H)[:-5]}, "H", r"'H' is not a BlobProto: .*ends 5 byte\(s\) after"),
        ({"H": blobproto(H[:2])}, "H", r"has 6 entries \(shape \(2, 3\)\) for 3 classes"),
        ({"H": b""}, "H", r"0 value\(s\) for the shape \(\)"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused_at_set_up(files: dict[str, bytes], source: str, message: str) -> None:
    with pytest.raises(NetError, match=message) as refusal:
        from_file(files, source=source)
    assert refusal.value.stage == "setup"


# Two tops

TWO = 'top: "l" top: "p"'
SQUARED = 'layer { name: "q" type: "Power" bottom: "p" top: "q" loss_weight: 0.7 power_param { power: 2 } }'
QUIRK = "second-top-no-gradient"
FORCED = {"infogain-matrix-forced"}
"""Touched by every net here, since they all force gradients."""


@pytest.mark.parametrize(("weights", "total"), [("1,0", LOSS), ("1,0.5", LOSS + 1), ("0,1", 2.0)])
@pytest.mark.parametrize("taken", [True, False])
def test_the_second_top_is_the_softmax_and_counts(weights: str, total: float, taken: bool) -> None:
    first, second = weights.split(",")
    body = f"loss_weight: {first} loss_weight: {second}"
    net = run(text(body, TWO), INPUTS, dialect=Dialect("mine", {QUIRK} if taken else ()))
    assert net.forward() == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(net.blobs["p"].data, P, rtol=1e-15)
    np.testing.assert_allclose(net.blobs["x"].diff, float(first) * gradient(), atol=1e-15)
    assert net.met.touched - FORCED == (set() if second == "0" else {QUIRK})


@pytest.mark.parametrize("body", ["", "loss_weight: 1 loss_weight: 0", "loss_weight: -2 loss_weight: 3"])
def test_documented_the_gradient_of_a_consumed_second_top_arrives(body: str) -> None:
    net, complex_net = (run(text(body, TWO) + SQUARED, INPUTS, dtype) for dtype in ("float64", "complex128"))
    for index in np.ndindex(2, 3):
        complex_net.blobs["x"].data[index] += 1e-30j
        assert net.blobs["x"].diff[index] == pytest.approx(complex_net.forward().imag / 1e-30, abs=1e-15)
        complex_net.blobs["x"].data[index] = X[index]


def test_bvlc_caffe_drops_it() -> None:
    net = run(text("loss_weight: 1 loss_weight: 0", TWO) + SQUARED, INPUTS, dialect=Dialect("mine", {QUIRK}))
    np.testing.assert_allclose(net.blobs["x"].diff, gradient(), rtol=1e-13)
    assert net.blobs["p"].diff.all()
    assert net.met.touched - FORCED == {QUIRK}


def test_a_layer_that_works_in_place_on_the_second_top_reaches_into_caffes_backward() -> None:
    doubled = 'layer { name: "q" type: "Power" bottom: "p" top: "p" power_param { scale: 2 } }'
    for taken, p in ((False, P), (True, 2 * P)):
        dialect = Dialect("mine", {"second-top-shares-softmax"} if taken else ())
        net = run(text("loss_weight: 1 loss_weight: 0", TWO) + doubled, INPUTS, dialect=dialect)
        rows = H[[2, 0]]
        np.testing.assert_allclose(net.blobs["x"].diff, (p * rows.sum(1, keepdims=True) - rows) / 2, rtol=1e-13)
        assert "second-top-shares-softmax" in net.met.touched


def test_bvlc_caffe_wants_both_weights() -> None:
    with pytest.raises(NetError) as refusal:
        net_of(text("", TWO), INPUTS, dialect="bvlc")
    assert refusal.value.stage == "setup"
    net = net_of(text("", TWO), INPUTS)
    assert net.forward() == pytest.approx(LOSS, rel=1e-10)
    assert net.met.touched - FORCED == {"implicit-weight-once"}


# Refusals


def test_a_forced_gradient_into_the_matrix_is_fatal_for_caffe_only() -> None:
    for dialect in ("documented", "bvlc"):
        net = net_of(text(), INPUTS, dialect=dialect)
        net.forward()
        assert net.met.touched == FORCED
        if dialect == "documented":
            net.backward()
        else:
            with pytest.raises(NetError, match="its matrix") as refusal:
                net.backward()
            assert refusal.value.stage == "backward"


def test_a_matrix_that_needs_a_gradient_is_refused_in_backward() -> None:
    bias = 'layer { name: "b" type: "Bias" bottom: "h" top: "g" bias_param { axis: 0 } }'
    net = net_of(bias + text(matrix='bottom: "g"'), INPUTS)
    net.forward()
    with pytest.raises(NetError, match="its matrix") as refusal:
        net.backward()
    assert refusal.value.stage == "backward"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (text("loss_param { normalize: true }"), "deprecated normalize"),
        (text("loss_param { normalize: false }"), "deprecated normalize"),
        (text(matrix=""), "has no matrix"),
        (text(matrix='bottom: "h" bottom: "h"'), "at most 3 bottom"),
        (text(matrix='bottom: "x"'), r"has 6 entries \(shape \(2, 3\)\) for 3 classes"),
        (text("infogain_loss_param { axis: 2 }"), "axis 2 is out of range"),
        (text(tops='top: "l" top: "p" top: "q"'), "at most 2 top"),
    ],
)
def test_refusals_at_set_up(layer: str, message: str) -> None:
    with pytest.raises(NetError, match=message) as refusal:
        net_of(layer, INPUTS)
    assert refusal.value.stage == "setup"
