"""The porting rules are what the descriptions say, and their blocks compute what the reference computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import refimpl
from conformance.losses.loss import MODES
from docs.porting import PAGE, page

RULES = PAGE.read_text("utf-8").partition("## BVLC")[0]
TORCH, JAX = re.findall(r"```python\n(.*?)```", RULES, re.DOTALL)
SHAPES = {1: ((2, 3, 2), (2, 2)), 2: ((2, 2, 3), (2, 2)), -1: ((2, 2, 3), (2, 2))}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m docs.porting writes it anew"


def nets() -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray, float, np.ndarray]]:
    """Options, scores, labels, and the loss and its gradient by the reference."""
    rng = np.random.default_rng(3)
    for mode, ignored, axis in product(MODES, (None, 2, 255), SHAPES):
        shapes = SHAPES[axis]
        scores, labels = rng.normal(size=shapes[0]), rng.choice([0.0, 1.75, 2.0], shapes[1])
        labels[0, 0] = 2.0 if ignored is None else ignored
        option = "" if ignored is None else f"ignore_label: {ignored}"
        net = refimpl.Net(
            f"""
            force_backward: true
            layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims(shapes[0])} }} }} }}
            layer {{ name: "y" type: "Input" top: "y" input_param {{ shape {{ {dims(shapes[1])} }} }} }}
            layer {{ name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "l" propagate_down: true
              propagate_down: false softmax_param {{ axis: {axis} }} loss_param {{ normalization: {mode} {option} }} }}
            """
        )
        net.blobs["x"].data[...], net.blobs["y"].data[...] = scores, labels
        total = net.forward()
        net.backward()
        given = {"normalization": mode, "ignore_label": ignored, "axis": axis % 3}
        yield given, scores, labels, total, net.blobs["x"].diff


def dims(shape: tuple[int, ...]) -> str:
    return " ".join(f"dim: {extent}" for extent in shape)


def written(block: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(block, scope)
    function: Callable[..., Any] = scope["softmax_with_loss"]
    return function


def test_the_block_in_torch_is_caffes_loss_in_every_mode() -> None:
    torch = pytest.importorskip("torch")
    function = written(TORCH)
    for given, scores, labels, total, gradient in nets():
        x = torch.tensor(scores, requires_grad=True)
        loss = function(x, torch.tensor(labels), **given)
        loss.backward()
        assert np.isclose(loss.item(), total, rtol=1e-12), given
        assert np.allclose(x.grad.numpy(), gradient, rtol=1e-12, atol=1e-15), given


def test_the_block_in_jax_is_caffes_loss_in_every_mode() -> None:
    jax = pytest.importorskip("jax")
    function = written(JAX)
    for given, scores, labels, total, gradient in nets():
        loss, slope = jax.value_and_grad(lambda x, y=labels, given=given: function(x, y, **given))(scores)
        assert np.isclose(float(loss), total, rtol=1e-5), given
        assert np.allclose(slope, gradient, rtol=1e-4, atol=1e-6), given
