"""What the layers around a loss refuse: one line, at the stage where Caffe would."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import NetError
from refimpl.net import Net
from tests.refimpl.test_layers_around import SMOOTH, X
from tests.small_nets import blob, layer, net_of, run


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (), (3,), (2, 3, 1, 1, 1)])
@pytest.mark.parametrize("name", SMOOTH)
def test_any_shape_is_computed_or_refused(name: str, shape: tuple[int, ...]) -> None:
    text, inputs = SMOOTH[name]
    try:
        net = run(text, {x: np.zeros(shape) for x in inputs})
    except NetError as refused:
        assert refused.stage in ("setup", "forward")
    else:
        assert all(blob.diff.shape == blob.shape for blob in net.blobs.values())


REFUSED = [
    ("Slice", "slice_param { slice_point: 3 }", "t u", "do not cut"),
    ("Slice", "slice_param { slice_point: 2 slice_point: 1 }", "t u v", "do not cut"),
    ("Slice", "slice_param { slice_point: 1 }", "t u v", "slice_point"),
    ("Slice", "", "t u", "evenly divide"),
    ("Slice", "slice_param { axis: 1 slice_dim: 1 }", "t", "both axis and slice_dim"),
    ("Slice", "slice_param { slice_dim: 2 }", "t", "out of range"),
    ("Concat", "concat_param { axis: 2 }", "t", "out of range"),
    ("Flatten", "flatten_param { axis: 2 }", "t", "out of range"),
    ("Flatten", "", "x", "in place"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", "t", "several dimensions of -1"),
    ("Reshape", "reshape_param { shape { dim: 4 dim: -1 } }", "t", "cannot be divided"),
    ("Reshape", "reshape_param { shape { dim: 5 } }", "t", "cannot take the shape"),
    ("Reshape", "reshape_param { axis: 2 shape { dim: 0 } }", "t", "no axis there to copy"),
    ("Reshape", "reshape_param { axis: 3 }", "t", "out of range"),
    ("Reduction", "reduction_param { axis: 2 }", "t", "out of range"),
    ("Eltwise", "", "t", "at least 2"),
    ("Silence", "", "t", "exactly 0"),
    ("AbsVal", "", "x", "in place"),
    ("Split", "", "x", "in place"),
    ("Exp", "exp_param { base: 0 }", "t", "not a positive number"),
    ("Log", "log_param { base: 1 }", "t", "base 1"),
    ("Scale", "scale_param { axis: 1 num_axes: 2 }", "t", "extend past"),
    ("Scale", "scale_param { num_axes: -2 }", "t", "negative"),
    ("Bias", "bias_param { axis: 2 }", "t", "out of range"),
    ("ArgMax", "argmax_param { top_k: 4 }", "t", "top_k 4"),
    ("InnerProduct", 'inner_product_param { num_output: 2 weight_filler { type: "nosuch" } }', "t", "unknown filler"),
]


@pytest.mark.parametrize(("kind", "body", "tops", "message"), REFUSED)
def test_nonsense_is_refused_at_set_up_in_one_line(kind: str, body: str, tops: str, message: str) -> None:
    with pytest.raises(NetError, match=message) as refused:
        Net(blob("x", (2, 3)) + layer(kind, body, "x", tops, ""))
    assert refused.value.stage == "setup"
    assert refused.value.layer == "n"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["Accuracy", "ArgMax"])
def test_layers_without_a_backward_refuse_it_when_their_weight_asks_for_it(kind: str) -> None:
    inputs = {"x": X, "y": np.zeros(2)} if kind == "Accuracy" else {"x": X}
    net = net_of(layer(kind, "", " ".join(inputs)), inputs)
    net.forward()
    with pytest.raises(NetError, match="no backward pass") as refused:
        net.backward()
    assert refused.value.stage == "backward"


def test_inner_product_refuses_other_inputs_than_its_weights_take() -> None:
    net = net_of(layer("InnerProduct", "inner_product_param { num_output: 2 }"), {"x": X})
    net.blobs["x"].reshape(2, 4)
    with pytest.raises(NetError, match="3 inputs") as refused:
        net.forward()
    assert refused.value.stage == "forward"
