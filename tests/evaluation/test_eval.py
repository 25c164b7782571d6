"""``lossconf eval`` on nets as people have them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import Lossconf, lossconf_in

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } mine: 1 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 } }
layer { name: "fc 1" type: "InnerProduct" bottom: "conv" top: "fc 1"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "half" type: "Power" bottom: "fc 1" top: "scores" power_param { scale: 0.5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" loss_weight: 2 }
layer { name: "acc" type: "Accuracy" bottom: "scores" bottom: "label" top: "acc" include { stage: "told" } }
"""
FOLDER = "long" * 50
SCORES = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt" base_lr: 1')
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / FOLDER).mkdir()
    np.savez(tmp_path / "x.npz", **{"fc 1": SCORES, "label": np.array([0.0, 2.0])})
    np.savez(tmp_path / "y.npz", conv=SCORES[:, :2], label=np.array([0.0, 2.0]))
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    "net", ["net.prototxt", "solver.prototxt", f"{FOLDER}/../{FOLDER}/../{FOLDER}/../net.prototxt"]
)
def test_the_suggested_command_computes_the_heads(lossconf: Lossconf, tmp_path: Path, net: str) -> None:
    refused = lossconf("eval", net, "--inputs", "x.npz", "--dtype", "float64", "--save", "out.npz")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    words = shlex.split(refused.err.rpartition("can be computed: ")[2])
    assert words[:2] == ["lossconf", "eval"]
    told = lossconf(*words[1:])
    assert told.code == 0, told.err
    assert "2 layers are computed, 3 are left out\n  given: fc 1, label" in told.out
    logits = SCORES / 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with np.load(tmp_path / "out.npz") as saved:
        assert abs(saved["loss"] - -2 * np.log(p[[0, 1], [0, 2]]).mean()) < 1e-14
        np.testing.assert_allclose(saved["diff/fc 1"], (p - np.eye(3)[[0, 2]]) / 2, rtol=1e-13)


def test_weights_are_read_drawn_or_asked_for(lossconf: Lossconf, tmp_path: Path) -> None:
    asked = ("eval", "net.prototxt", "--from", "conv", "--inputs", "y.npz")
    refused = lossconf(*asked)
    assert refused.code == 2
    assert "fc 1[0] has a random filler, gaussian: give --weights" in refused.err
    drawn = lossconf(*asked, "--seed", "3")
    assert "fc 1[0]: drawn, gaussian std 0.5, seed 3\n  fc 1[1]: by its filler" in drawn.out
    np.savez(tmp_path / "w.npz", **{"fc 1[0]": np.ones((3, 2)), "fc 1[1]": np.zeros(3), "conv[0]": np.ones(2)})
    told = lossconf(*asked, "--weights", "w.npz")
    assert "fc 1[0]: from w.npz" in told.out
    assert f"total\n  {2 * np.log(3):.12f}" in told.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "fc 1"), "the inputs 'fc 1', 'label' are not given"),
        (("--from", "fc 2", "--inputs", "x.npz"), "no blob named 'fc 2'; did you mean fc 1"),
        (("--from", "conv", "--inputs", "x.npz"), "the input 'conv' is not in x.npz"),
        (("--from", "data", "--inputs", "y.npz"), "unknown layer type 'Convolution'"),
        (("--from", "conv", "--inputs", "y.npz", "--weights", "net.prototxt"), "net.prototxt is no .caffemodel"),
        (("--from", "conv", "--inputs", "y.npz", "--weights", "no.npz"), "cannot read no.npz"),
        (("--from", "conv", "--inputs", "y.npz", "--weights", "x.npz"), "no layer with weights named 'fc 1'"),
        (("--from", "conv", "--inputs", "y.npz", "--seed", "-1"), "--seed"),
    ],
)
def test_a_mistake_is_one_line(lossconf: Lossconf, arguments: tuple[str, ...], says: str) -> None:
    told = lossconf("eval", "net.prototxt", *arguments)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert says in told.err


def test_a_loss_that_is_lacking_cannot_be_cut_away(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET.replace("SoftmaxWithLoss", "MyLoss"))
    told = lossconf("eval", "net.prototxt")
    assert told.code == 2
    assert "no cut leaves it out" in told.err
