"""Weights and the backward plan against a derivation of their own, on drawn nets."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.audit.document import Document
from conformance.audit.graph import graph_of
from refimpl.messages import NetState
from refimpl.prototxt import read_net
from tests.audit.by_hand import Row, derived
from tests.audit.nets import IN

KINDS = (
    "InnerProduct",
    "ReLU",
    "Power",
    "SoftmaxWithLoss",
    "EuclideanLoss",
    "Silence",
    "StrangeLoss",
    "Strange",
    "Accuracy",
)


@st.composite
def nets(draw: st.DrawFn) -> str:
    blobs, text = ["x", "y"], IN
    if draw(st.integers(0, 9)) == 0:
        text += "force_backward: true\n"
    for i in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(KINDS))
        count = 2 if "Loss" in kind or kind == "Accuracy" else 1
        bottoms = [draw(st.sampled_from(blobs)) for _ in range(count)]
        in_place = kind == "ReLU" and draw(st.booleans())
        tops = [] if kind == "Silence" else [bottoms[0] if in_place else f"b{i}"]
        fields = [f'bottom: "{name}"' for name in bottoms] + [f'top: "{name}"' for name in tops]
        if tops and not in_place and draw(st.integers(0, 2)) == 0:
            fields.append(f"loss_weight: {draw(st.sampled_from([0, 1, 2.5]))}")
        if draw(st.integers(0, 4)) == 0:
            fields += [f"propagate_down: {draw(st.sampled_from(['true', 'false']))}" for _ in bottoms]
        if kind in ("InnerProduct", "Strange"):
            fields += [f"param {{ lr_mult: {draw(st.sampled_from([0, 1]))} }}" for _ in range(draw(st.integers(0, 2)))]
        if kind == "InnerProduct":
            fields.append("inner_product_param { num_output: 3 }")
        name = draw(st.sampled_from([f"n{i}", "same", ""]))
        text += f'layer {{ name: "{name}" type: "{kind}" {" ".join(fields)} }}\n'
        blobs += [name for name in tops if name not in blobs]
    return text


@settings(max_examples=300, deadline=None)
@given(nets())
def test_both_derivations_agree(text: str) -> None:
    net, foreign = read_net(text)
    document = Document("drawn", net, foreign, (1,) * len(net.layer), NetState())
    found = [
        Row(node.name, tuple(node.loss_weights), node.need_backward)
        for node in graph_of(document, "TRAIN", 0, ()).nodes
    ]
    assert found == derived(net)


def test_the_derivation_is_not_always_the_same() -> None:
    net, _ = read_net((Path(__file__).parent / "googlenet_like.prototxt").read_text("utf-8"))
    rows = {row.name: row for row in derived(net)}
    assert rows["loss1/loss"].weights == (0.3,) or abs(rows["loss1/loss"].weights[0] - 0.3) < 1e-7
    assert rows["conv1"].backward and not rows["accuracy"].backward
