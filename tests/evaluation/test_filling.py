"""Learnable arrays: from a trained net, drawn, or refused; never zero unasked."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from conformance.contract.errors import UsageError
from conformance.evaluation.caffemodel import read_caffemodel
from conformance.evaluation.filling import Source, fill_learnable, learnable
from refimpl.filler import drawn
from refimpl.messages import FillerParameter
from refimpl.net import Net

NET = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z"
  inner_product_param { num_output: 4 weight_filler { type: "%s" } bias_filler { value: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "z" top: "l" }
"""
WEIGHT, BIAS = np.arange(12.0).reshape(4, 3), np.arange(4.0)
NONE = Source(None, {})


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field, as the wire has it."""
    size, length = len(content), b""
    while size >= 128:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    key = number << 3 | 2
    head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return head + length + bytes([size]) + content


def blob(array: np.ndarray, old: bool) -> bytes:
    data = field(5, struct.pack(f"<{array.size}f", *array.ravel()))
    if not old:
        return data + field(7, field(1, bytes(array.shape)))
    shape = (1,) * (4 - array.ndim) + array.shape
    return b"".join(bytes([number << 3, dim]) for number, dim in enumerate(shape, 1)) + data


def model(form: str, arrays: tuple[np.ndarray, ...] = (WEIGHT, BIAS)) -> bytes:
    name = b"ip"
    if form == "V2":
        inside = field(1, name) + field(2, b"InnerProduct")
        return field(1, b"net") + field(100, inside + b"".join(field(7, blob(a, False)) for a in arrays))
    if form == "V1":
        return field(2, field(4, name) + b"".join(field(6, blob(a, True)) for a in arrays))
    return field(2, field(1, field(1, name) + b"".join(field(50, blob(a, True)) for a in arrays)))


@pytest.mark.parametrize("form", ["V2", "V1", "V0"])
def test_a_caffemodel_fills_the_layers_of_its_names(tmp_path: Path, form: str) -> None:
    pytest.importorskip("google.protobuf")
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model(form))
    net = Net(NET % "xavier")
    said = fill_learnable(net, NONE, Source(path, read_caffemodel(path)), None)
    assert said == {"ip[0]": f"from {path}", "ip[1]": f"from {path}"}
    np.testing.assert_array_equal(net.params["ip"][0].data, WEIGHT)
    np.testing.assert_array_equal(net.params["ip"][1].data, BIAS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89HDF\r\n", "is HDF5"),
        (b"name: 'net'", "no .caffemodel"),
        (b"", "holds no layer with weights"),
        (field(1, b"net"), "holds no layer with weights"),
        (field(100, field(1, b"ip") + field(7, b"\x28\x01")), "blob 0 of layer 'ip' is no BlobProto"),
        (model("V2")[:-3], "no .caffemodel"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    pytest.importorskip("google.protobuf")
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_caffemodel(path)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"ip[0]": WEIGHT.T, "ip[1]": BIAS}, r"ip\[0\] has shape \(3, 4\) where \(4, 3\)"),
        ({"ip[0]": WEIGHT}, "layer 'ip' has 1 array.s. there and 2 in the net"),
        ({"ip[0]": WEIGHT, "ip[1]": BIAS, "ip[2]": BIAS}, "layer 'ip' has 3 array.s. there and 2 in the net"),
        ({"ip": WEIGHT}, "no layer with weights named 'ip'; there is none"),
        ({"ip2[0]": WEIGHT, "ip2[1]": BIAS}, "no layer with weights named 'ip'; did you mean ip2"),
    ],
)
def test_weights_of_another_net_are_refused(arrays: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fill_learnable(Net(NET % "xavier"), NONE, Source(Path("w.npz"), arrays), None)


def test_a_random_filler_is_refused_or_drawn_and_named() -> None:
    net = Net(NET % "xavier")
    with pytest.raises(UsageError, match=r"ip\[0\] has a random filler, xavier: give --weights"):
        fill_learnable(net, NONE, None, None)
    assert fill_learnable(net, NONE, None, 7) == {"ip[0]": "drawn, xavier, seed 7", "ip[1]": "by its filler"}
    first = net.params["ip"][0].data.copy()
    assert first.all() and (net.params["ip"][1].data == 0.5).all()
    again = Net(NET % "xavier")
    fill_learnable(again, NONE, None, 7)
    np.testing.assert_array_equal(again.params["ip"][0].data, first)
    given = fill_learnable(net, Source(Path("x.npz"), {"ip[0]": WEIGHT}), None, None)
    assert given == {"ip[0]": "from x.npz", "ip[1]": "by its filler"}


def test_shared_weights_are_drawn_once() -> None:
    shared = 'param { name: "w" } inner_product_param { num_output: 3 bias_term: false weight_filler { type: "msra" } }'
    net = Net(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        f'layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "y" {shared} }}\n'
        f'layer {{ name: "b" type: "InnerProduct" bottom: "y" top: "z" {shared} }}\n'
    )
    assert fill_learnable(net, NONE, None, 1) == {"a[0]": "drawn, msra, seed 1", "b[0]": "shared with a[0]"}
    assert np.shares_memory(learnable(net)["a[0]"].data, learnable(net)["b[0]"].data)


@pytest.mark.parametrize(
    ("filler", "mean", "deviation"),
    [
        (FillerParameter(type="uniform", min=1.0, max=3.0), 2.0, 2 / np.sqrt(12)),
        (FillerParameter(type="gaussian", mean=1.0, std=0.5), 1.0, 0.5),
        (FillerParameter(type="gaussian", std=1.0, sparse=50), 0.0, np.sqrt(50 / 200)),
        (FillerParameter(type="xavier"), 0.0, np.sqrt(1 / 300)),
        (FillerParameter(type="xavier", variance_norm="FAN_OUT"), 0.0, np.sqrt(1 / 200)),
        (FillerParameter(type="msra"), 0.0, np.sqrt(2 / 300)),
        (FillerParameter(type="msra", variance_norm="AVERAGE"), 0.0, np.sqrt(2 / 250)),
        (FillerParameter(type="positive_unitball"), 1 / 300, 1 / 300 / np.sqrt(3)),
    ],
)
def test_draws_have_the_filler_s_mean_and_deviation(filler: FillerParameter, mean: float, deviation: float) -> None:
    values = drawn(filler, (200, 300), np.random.default_rng(5))
    assert values.shape == (200, 300)
    assert abs(values.mean() - mean) < 0.02 * deviation
    assert abs(values.std() / deviation - 1) < 0.02
    if filler.type == "positive_unitball":
        np.testing.assert_allclose(values.sum(axis=1), 1.0)
