"""Nets of older formats become what Caffe makes of them."""

from __future__ import annotations

import pytest

from refimpl.messages import (
    BlobShape,
    InnerProductParameter,
    LayerParameter,
    NetParameter,
    ParamSpec,
    V1LayerParameter,
)
from refimpl.prototxt import parse_net

V1_TYPES = {
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "HINGE_LOSS": "HingeLoss",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "INFOGAIN_LOSS": "InfogainLoss",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}


def test_every_v1_type_is_covered() -> None:
    assert V1_TYPES.keys() == V1LayerParameter.schema["type"].numbers.keys()


@pytest.mark.parametrize("old", V1_TYPES)
def test_a_v1_type_is_renamed(old: str) -> None:
    (upgraded,) = parse_net(f"layers {{ type: {old} }}").layer
    assert upgraded == LayerParameter(type=V1_TYPES[old])


def test_a_v1_layer_keeps_what_it_says() -> None:
    net = parse_net(
        """
        layers {
          name: "ip" type: INNER_PRODUCT bottom: "x" top: "z" loss_weight: 2 include { phase: TRAIN }
          blobs_lr: 1 blobs_lr: 0 weight_decay: 3 param: "w" blob_share_mode: PERMISSIVE
          inner_product_param { num_output: 4 } convolution_param { pad: 1 }
        }
        """
    )
    (upgraded,) = net.layer
    assert net.layers == ()
    assert (upgraded.name, upgraded.bottom, upgraded.top, upgraded.loss_weight) == ("ip", ("x",), ("z",), (2.0,))
    assert upgraded.inner_product_param == InnerProductParameter(num_output=4)
    assert upgraded.include[0].phase == "TRAIN"
    assert upgraded.param == (
        ParamSpec(name="w", share_mode="PERMISSIVE", lr_mult=1.0, decay_mult=3.0),
        ParamSpec(lr_mult=0.0),
    )
    assert list(upgraded.extra) == ["convolution_param"]


def test_inputs_with_four_dimensions_each_become_one_input_layer_in_front() -> None:
    net = parse_net(
        """
        input: "x" input_dim: 4 input_dim: 3 input_dim: 1 input_dim: 1
        input: "y" input_dim: 4 input_dim: 1 input_dim: 1 input_dim: 1
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "x" bottom: "y" }
        """
    )
    first, second = net.layer
    assert (first.name, first.type, first.top) == ("input", "Input", ("x", "y"))
    assert [shape.dim for shape in first.input_param.shape] == [(4, 3, 1, 1), (4, 1, 1, 1)]
    assert second.name == "loss"
    assert not (net.input or net.input_shape or net.input_dim)


def test_input_shapes_win_over_input_dims() -> None:
    net = parse_net("input: 'x' input_shape { dim: 2 dim: 3 } input_dim: [1, 1, 1, 1] layer { name: 'l' }")
    assert net.layer[0].input_param.shape == (BlobShape(dim=(2, 3)),)


def test_inputs_without_any_shape_are_dropped_as_caffe_drops_them() -> None:
    assert parse_net("input: 'x' layer { name: 'l' }") == NetParameter(layer=(LayerParameter(name="l"),))
