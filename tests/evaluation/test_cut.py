"""A net cut above its heads computes what the whole net computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.contract.errors import UsageError
from conformance.evaluation.cut import cut_at, suggested
from conformance.evaluation.filling import learnable
from conformance.evaluation.reading import read
from refimpl.messages import LayerParameter, NetState
from refimpl.net import Net
from refimpl.prototxt import parse_net

IN = """layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
"""
TRUNK = (
    IN
    + """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 } }
layer { name: "relu" type: "ReLU" bottom: "z" top: "z" }
"""
)
LOSS = 'layer { name: "%s" type: "SoftmaxWithLoss" bottom: "%s" bottom: "y" top: "%s" }\n'


@st.composite
def nets(draw: st.DrawFn) -> str:
    """Nets of layers that the reference has, of which most learn something."""
    blobs, text, read = ["x"], IN, {"x"}
    kinds = ["InnerProduct", "ReLU", "Power", "Softmax", "EuclideanLoss", "SoftmaxWithLoss"]
    for i in range(draw(st.integers(2, 8))):
        kind = "InnerProduct" if i == 0 else draw(st.sampled_from(kinds))
        bottoms = [draw(st.sampled_from(blobs))]
        in_place = kind == "ReLU" and bottoms[0] not in read
        bottoms += [draw(st.sampled_from(blobs))] if kind == "EuclideanLoss" else []
        bottoms += ["y"] if kind == "SoftmaxWithLoss" else []
        top = bottoms[0] if in_place else f"b{i}"
        fields = [f'bottom: "{name}"' for name in bottoms] + [f'top: "{top}"']
        if kind.endswith("Loss") and draw(st.booleans()):
            fields.append(f"loss_weight: {draw(st.sampled_from([0, 0.5, 2]))}")
        if draw(st.integers(0, 5)) == 0:
            first = draw(st.sampled_from(["true", "false"]))
            fields += [f"propagate_down: {first}", *["propagate_down: false"] * (len(bottoms) - 1)]
        if kind == "InnerProduct":
            fields.append("inner_product_param { num_output: 3 }")
            fields.append(f"param {{ lr_mult: {draw(st.sampled_from([0, 1]))} }}")
        text += f'layer {{ name: "n{i}" type: "{kind}" {" ".join(fields)} }}\n'
        read.update(bottoms)
        blobs += [top] if not kind.endswith("Loss") and top not in blobs else []
    return text + LOSS % ("last", blobs[-1], "l")


def cuttable(layers: Sequence[LayerParameter], blobs: list[str]) -> bool:
    try:
        return bool(cut_at(layers, blobs).heads)
    except UsageError:
        return False


def run(net: Net, values: dict[str, np.ndarray]) -> float:
    for name, array in values.items():
        blob = learnable(net)[name] if name.endswith("]") else net.blobs[name]
        blob.data[...] = array
    loss = net.forward()
    net.backward()
    return loss


@settings(max_examples=100, deadline=None)
@given(nets(), st.data(), st.sampled_from(["documented", "bvlc"]))
def test_the_heads_compute_what_the_whole_net_does(text: str, data: st.DataObject, dialect: str) -> None:
    param = parse_net(text)
    layers = [layer for layer in param.layer if layer.type != "Input"]
    made = sorted({top for layer in layers for top in layer.top})
    blobs = data.draw(st.sampled_from([[name] for name in made if cuttable(param.layer, [name])] or [["x"]]))
    cut = cut_at(param.layer, blobs)
    rng = np.random.default_rng(0)
    whole = Net(text, dialect=dialect)
    values = {name: rng.normal(size=blob.shape) for name, blob in learnable(whole).items()}
    loss = run(whole, {**values, "x": rng.normal(size=(2, 3)), "y": np.array([0.0, 2.0])})
    inputs = {name: whole.blobs[name].data.copy() for name in cut.inputs}
    shapes = {name: array.shape for name, array in inputs.items()}
    heads = Net(replace(param, layer=cut.layers(shapes)), dialect=dialect, layers=cut.classes())
    kept = learnable(heads)
    assert run(heads, {**inputs, **{name: values[name] for name in kept}}) == loss
    for name in kept.keys() - {f"{layer}[{i}]" for layer in cut.partial for i in range(2)}:
        np.testing.assert_array_equal(kept[name].diff, learnable(whole)[name].diff)
    for name in cut.inputs:
        asked = any(name in node.bottoms and node.need_backward for node in heads.layers)
        in_place = any(name in layer.top and name in layer.bottom for layer in layers)  # overwrites the diff, too
        if asked and not in_place and name in cut.learning and name not in cut.partial:
            np.testing.assert_array_equal(heads.blobs[name].diff, whole.blobs[name].diff)


def test_the_last_state_of_a_blob_is_given_and_labels_with_it() -> None:
    cut = cut_at(parse_net(TRUNK + LOSS % ("loss", "z", "l")).layer, ["z"])
    assert [head.name for head in cut.heads] == ["loss"]
    assert set(cut.inputs) == {"z", "y"}
    assert cut.learning == {"z"}


def test_what_lies_under_a_given_blob_too_is_named() -> None:
    net = TRUNK + LOSS % ("aux", "z", "m") + 'layer { name: "up" type: "Power" bottom: "z" top: "u" }\n'
    net += LOSS % ("loss", "u", "l")
    assert cut_at(parse_net(net).layer, ["u"]).partial == ["relu", "ip"]
    assert cut_at(parse_net(net).layer, ["u", "z"]).partial == ["z"]
    assert cut_at(parse_net(net).layer, ["z"]).partial == []


def test_every_loss_is_a_head_and_so_is_who_reads_one() -> None:
    two = TRUNK + LOSS % ("loss", "z", "l") + LOSS % ("aux", "x", "m")
    quiet = two + 'layer { name: "quiet" type: "Silence" bottom: "m" }\n'
    assert [head.name for head in cut_at(parse_net(quiet).layer, ["z"]).heads] == ["loss", "aux", "quiet"]


@pytest.mark.parametrize(
    ("text", "blobs", "says"),
    [
        (TRUNK + LOSS % ("loss", "z", "l"), ["zz"], "no blob named 'zz'"),
        (TRUNK + LOSS % ("loss", "z", "l"), ["l"], "has a weight in the loss"),
        (TRUNK + LOSS % ("loss", "x", "l"), ["z"], "no loss is computed from it"),
        (
            TRUNK.replace('"ReLU"', '"TanH"').replace(
                'layer { name: "relu"', LOSS % ("before", "z", "m") + 'layer { name: "relu"'
            )
            + LOSS % ("loss", "z", "l"),
            ["z"],
            "before and after",
        ),
        (
            IN
            + 'layer { name: "cut" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { slice_point: 1 } }\n'
            + 'layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "l" }\n',
            ["a"],
            "makes b beside",
        ),
    ],
)
def test_what_does_not_cut_a_net_is_said(text: str, blobs: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cut_at(parse_net(text).layer, blobs)


def test_the_suggested_cut_leaves_out_what_is_lacking_and_what_learns() -> None:
    net = IN + (
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "c" }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "c" top: "i" inner_product_param { num_output: 3 } }\n'
        'layer { name: "half" type: "Power" bottom: "i" top: "h" power_param { scale: 0.5 } }\n'
    )
    assert suggested(parse_net(net + LOSS % ("loss", "h", "l")).layer) == ["i"]
    assert suggested(parse_net(net + LOSS.replace("SoftmaxWithLoss", "MyLoss") % ("loss", "h", "l")).layer) == []


def test_only_the_heads_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    conv = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "c" mine: 3 }\n'
    path.write_text(IN + conv + LOSS % ("loss", "c", "l"))
    assert len(read(path, NetState(phase="TRAIN"), ["c"]).cut.heads) == 1  # type: ignore[union-attr]
    path.write_text(IN + conv + (LOSS % ("loss", "c", "l")).replace(" }\n", " mine: 3 }\n"))
    with pytest.raises(UsageError, match="line 4: field mine of layer is a fork's"):
        read(path, NetState(phase="TRAIN"), ["c"])
