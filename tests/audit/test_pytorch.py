"""A net's loss as a module in PyTorch, executed beside the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.audit.audit import audit
from conformance.audit.pytorch import in_pytorch
from refimpl import Net
from tests.audit.nets import LOGITS, LOSS

NET = """
layer { name: "p" type: "Parameter" top: "a/1" parameter_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }
layer { name: "in" type: "Input" top: "y" top: "t" input_param {
  shape { dim: 4 dim: 1 dim: 2 dim: 2 } shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }
layer { name: "one" type: "SoftmaxWithLoss" bottom: "a/1" bottom: "y" top: "l1" loss_weight: 0.3
  loss_param { ignore_label: 1 } }
layer { name: "two" type: "SoftmaxWithLoss" bottom: "a/1" bottom: "y" top: "l2" loss_weight: 0.7 }
layer { name: "three" type: "SigmoidCrossEntropyLoss" bottom: "a/1" bottom: "t" top: "l3" }
layer { name: "four" type: "EuclideanLoss" bottom: "a/1" bottom: "t" top: "l4" loss_weight: 2 }
layer { name: "four-quiet" type: "Silence" bottom: "l4" }
layer { name: "six" type: "EuclideanLoss" bottom: "a/1" bottom: "t" top: "l6" }
layer { name: "six-quiet" type: "Silence" bottom: "l6" }
layer { name: "seven" type: "EuclideanLoss" bottom: "a/1" bottom: "t" top: "l7" }
layer { name: "ten" type: "Power" bottom: "l7" top: "p7" power_param { scale: 10 } loss_weight: 1 }
layer { name: "five" type: "Reduction" bottom: "a/1" top: "l5" loss_weight: -0.1 }
"""


def module(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "net.prototxt"
    path.write_text(text, "utf-8")
    scope: dict[str, Any] = {"source": in_pytorch(audit(path))}
    exec(scope["source"], scope)
    return scope


def test_total_and_gradient_are_those_of_the_reference(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    net = Net(NET, dialect="bvlc")
    net.params["p"][0].data[...] = rng.normal(size=(4, 3, 2, 2))
    net.blobs["t"].data[...] = rng.random((4, 3, 2, 2))
    net.blobs["y"].data[...] = rng.integers(0, 3, (4, 1, 2, 2))
    wanted = net.forward()
    net.backward()
    blobs = {name: torch.tensor(blob.data, requires_grad=name == "a/1") for name, blob in net.blobs.items()}
    blobs["l5"] = blobs["a/1"].sum()
    blobs["p7"] = 10 * (blobs["a/1"] - blobs["t"]).square().sum() / 8
    total = module(tmp_path, NET)["total"](blobs)
    total.backward()
    once_more = float(net.blobs["l4"].data)
    assert total.item() == pytest.approx(wanted - once_more, rel=1e-6)
    np.testing.assert_allclose(blobs["a/1"].grad.numpy(), net.params["p"][0].diff, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ((LOSS % "").replace("SoftmaxWithLoss", "MyOwnLoss"), "a fork's loss that is not described here"),
        (LOSS % "loss_param { normalization: BALANCED }", "BALANCED of loss_param.normalization is a fork's"),
        ((LOSS % "").replace("SoftmaxWithLoss", "InfogainLoss"), "its matrix is read from a file"),
        ((LOSS % "").replace('bottom: "y"', 'bottom: "gone"'), "one of its bottoms is made by no layer"),
        ((LOSS % "loss_weight: 1").replace("SoftmaxWithLoss", "CenterLoss"), "its centres are arrays of its own"),
    ],
)
def test_what_has_no_expression_says_why_and_is_taken_from_the_blobs(layer: str, said: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    made = module(tmp_path, LOGITS + layer)
    assert said in made["source"]
    assert made["total"]({"l": np.array(3.0)}) == 3
